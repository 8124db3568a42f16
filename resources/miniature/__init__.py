"""The miniature models: a drawn world whose truth is known, and the training of a model of every role on it.

The weights are shipped in `weights`; `python -m resources.miniature.train` makes them.
"""
