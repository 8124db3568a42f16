"""The pages of `imgdiff browse`, and the report that can be mailed: they read the ledger and write only reviews.

Queries are in `index` and `question`, each page has a module, and `app` serves them behind `security`. Pictures of
samples come from `reading.samples`, as those of exports do.
"""
