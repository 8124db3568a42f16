"""A shard of captions for pairs that a benchmark draws itself: stages ask what a shard holds."""

from collections.abc import Sequence

from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import SCHEMA
from imgdiff_assets.ledger.tables import write_rows


def write_captions(home: Home, shard: str, ids: Sequence[str], captions: Sequence[str]) -> None:
    """The shard's caption file."""
    rows = [
        {**dict.fromkeys(SCHEMA.names), "caption_id": identity, "caption": caption}
        for identity, caption in zip(ids, captions, strict=True)
    ]
    write_rows(home.captions / f"{shard}.parquet", rows, SCHEMA)
