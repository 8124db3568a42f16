"""Servers that answer: what one tells of itself, and starting one of our own for a run.

Neighbours: `resources.chat_server`, which asks them, and `resources.backends`, which choose.
"""
