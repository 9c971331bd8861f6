"""`make bench-scale`: audit, replay, rebuild and back-test of a log of twenty million events.

`histories`: what happened to some thousands of members, decided by the ledger; `writer`: the log in
which it happened to many more; `steps`: what is measured; `watch`: what a step took; `state`: how
far a run came; `report`: what is told of it. See docs/performance.md, "Twenty million events".
"""
