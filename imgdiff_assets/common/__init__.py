"""What every floor uses: expected errors, hashes and seeds, Arrow helpers, words for numbers, progress.

Below it are only the models in `resources`, whose expected errors its own derive from.
"""
