"""A file for each kind of difference between two captions: how it is asked for, and what may change.

`imgdiff_assets.method.kind` says what is in one, and finds them by name.
"""
