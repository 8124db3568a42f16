"""What the ledger's files are in: a folder of this machine, or a bucket. Above it nobody knows which.

Everything is written whole, and may be written only if what it replaces is what the writer has seen.
"""
