"""What every floor uses: hashes and seeds, Arrow helpers, words for numbers, progress.

It imports nothing of the other packages.
"""
