"""Image-difference training data as a Dagster asset graph: see `definitions`; `home` is where everything is kept.

Imports go down and never in a circle: cli, defs, release, then browser, pictures and what_if, then export, statistics
and lineage, then engine, reading and setup, then recipe, then stages and ingest, then ledger and method, then common.
"""
