"""The delivery campaign: workers, Kafka and PostgreSQL are killed, frozen, cut and restarted while
a generator sends records and keeps its own account of them.

`python -m tests.faults --minutes N --seed S`; docs/reliability.md says what each fault is and what
is checked after it.
"""
