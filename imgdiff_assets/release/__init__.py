"""Releases: all fresh shards as one folder with dataset card, checksums, metadata, and what changed since the last.

It writes through `export` and counts through `statistics`. Only `defs` and `cli` are above it.
"""
