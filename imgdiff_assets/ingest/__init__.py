"""What comes in: caption files, and image pairs that exist already; each becomes shards under `<home>/captions`.

Bad rows are kept beside them with file, row and field. It knows the home and nothing of stages.
"""
