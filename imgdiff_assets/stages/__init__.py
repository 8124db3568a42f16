"""A file per stage: what it measures, how it judges, and the planted rows that prove its filters.

`stage` says what a stage is, `graph` lists them, and adds the stages and filters that installed packages offer. A
stage is data and pure functions; `engine` runs it.
"""
