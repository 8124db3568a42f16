"""Training on the set, and what a model has learnt of it: configurations of trainers, and evaluation.

It reads releases and exported folders, as trainers do, and no ledger. Only `cli` is above it.
"""
