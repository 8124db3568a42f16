"""A file per stage: what it measures, how it judges, and the planted rows that prove its filters.

`stage` says what a stage is, `graph` lists them. A stage is data and pure functions; `engine` runs it.
"""
