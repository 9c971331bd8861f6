"""Webhooks by the Standard Webhooks specification: who is told of what happened, and the telling.

The deliverer follows the log by position, makes deliveries in the transaction that moves its
positions, and sends each until it is taken: at least once, under an id that stays, in order within
a member.
"""
