"""Brings one table up to date: what is fresh, what must be measured, verdicts, and the commit.

It runs any stage of `stages` over the ledger and knows none by name, but for shards whose pairs were given. Dagster is
one floor up, in `defs`.
"""
