"""The pure computations of the paper and of this project: text differences, boxes, near-duplicates, conversations.

Arrays and strings in, arrays and strings out: no file, no model, no table. It may import `common`, and asks
`resources.installed` which tasks and wordings there are.
"""
