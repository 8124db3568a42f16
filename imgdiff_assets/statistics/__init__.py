"""Numbers about the ledger: the funnel, diversity, checks of tables and of samples, the reviewers' certificate.

It reads through `reading` and runs nothing. Modules that end in `_text` put the numbers of their neighbour in words.
"""
