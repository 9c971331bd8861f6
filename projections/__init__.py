"""Read models folded from the log: balances, tiers, segments, kpis, and the runner that folds.

A read model depends on the log's contents only (docs/domain.md, invariant 8): no clock, no
decision, no order between shards. What time alone changes is stored ahead as steps and intervals.
Anything here can be emptied and folded again with the same bytes as result.
"""
