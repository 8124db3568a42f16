"""Pictures of samples and of rejected rows: the contact sheet, and the sheets in Dagster's pages.

It reads through `reading` and draws with Pillow; `cli` and `defs` show what it makes.
"""
