"""The recipe, one YAML file that says everything a row depends on: its sections, its values, those that are shipped.

`recipe` puts the sections together and checks the values, `chosen_recipe` finds the file and reads it, `overrides`
lays `--set` over it, `mistakes` says what is wrong; `recorded_recipe` makes a recipe again from what tables say.
"""
