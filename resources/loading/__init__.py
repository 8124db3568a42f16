"""How models come into memory: weights by content, downloads, devices, turns on a GPU, and what may go wrong.

The roles in `resources` call it; it knows none of them.
"""
