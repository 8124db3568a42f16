"""Models that turn pictures, and some of them texts, into vectors: one way in for each library's format.

Neighbours: `resources.image_text_encoder` and `resources.image_encoder`, the roles that use them.
"""
