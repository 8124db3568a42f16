"""Segment Anything in batches: its decoder over many points, the extents of its masks, its encoder's attention.

Used by `resources.segmenter`.
"""
