"""What every floor uses: expected errors, hashes and seeds, Arrow helpers, words for numbers, progress.

It imports nothing of the other packages, and of `resources` only what tells its errors.
"""
