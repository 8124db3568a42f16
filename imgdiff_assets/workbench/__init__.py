"""Pages of `imgdiff browse` that need more than the ledger: what-if behind a line that is dragged; and their list.

`browser` serves them (`MorePage`) and knows nothing of what they ask.
"""
