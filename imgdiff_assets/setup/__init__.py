"""The models of a recipe on this machine: which there are, what is missing, whether they answer, and licences.

It asks `resources` and the recipe, and nothing of the ledger.
"""
