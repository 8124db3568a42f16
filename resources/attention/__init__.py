"""Prompt-to-Prompt on SDXL: attention without attention maps, the edits it makes, and shortcuts through its steps.

Used by `resources.pair_generator`; the source of each method is named where it is implemented.
"""
