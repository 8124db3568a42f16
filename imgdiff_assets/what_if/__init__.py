"""What another recipe would do, told without running it: from stored scores, or from the tables' own records.

`judgement` walks the steps that `engine` runs, over what `stored_stage` reads; `what_if`, `sweep` and `dry_run` are
the answers that people ask for.
"""
