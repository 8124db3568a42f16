"""The models: a plain class per role that loads and runs it, with its settings.

Nothing here imports `imgdiff_assets`, so that a notebook or a benchmark can use a role alone. Model libraries are
imported where a model is loaded.
"""
