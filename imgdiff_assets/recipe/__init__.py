"""The recipe, one YAML file that says everything a row depends on: its sections, its values, those that are shipped.

`recipe` reads and checks it; `recorded_recipe` makes it again from what tables say of themselves.
"""
