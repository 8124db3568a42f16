"""The ledger read across shards: rows, samples with their images, verdicts in words. It writes nothing.

It stands beside `engine`, and is what all that shows or counts the ledger is built on.
"""
