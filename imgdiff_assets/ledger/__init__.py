"""The tables on disk: one Parquet file per stage and shard, batches of a run under way, images, and reviews.

All that must survive a kill is written here. It knows files and Arrow, and nothing of stages.
"""
