"""Mutation testing: small mistakes are planted in the code one by one, and the tests must notice.

`make mutation ARGS="--sample 600 --seed 1 --only ledger/core"`. The operators are mutmut's, and
three of our own. mutmut's runner was left out: it passes over decorated functions, and it neither
samples nor shares a database server between tests. Here pytest collects once, a fork of that
process gets one mutant and runs the tests that reach the changed lines, quickest first.
Not part of `make test`; never imported by it.
"""
