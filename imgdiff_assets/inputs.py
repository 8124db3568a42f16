"""The parent tables of a stage, for one shard."""

import pyarrow as pa

from imgdiff_assets.graph import stage_named
from imgdiff_assets.home import Home
from imgdiff_assets.ledger import Ledger
from imgdiff_assets.shards import read_captions
from imgdiff_assets.stage import Stage

CAPTION_FILE = "caption_file"
"""The parent of the first stage: the ingested captions, which are no table of the ledger."""


class MissingInput(LookupError):
    """A parent table that has not been materialised yet."""


def read_inputs(stage: Stage, home: Home, shard: str) -> dict[str, pa.Table]:
    """The tables that `stage` reads, by name, without image columns. Raises MissingInput or ShardError."""
    ledger = Ledger(home.ledger)
    tables = {}
    for parent in stage.parents:
        if parent == CAPTION_FILE:
            tables[parent] = read_captions(home, shard)
        elif ledger.exists(parent, shard):
            tables[parent] = ledger.read(parent, shard, stage_named(parent).schema)
        else:
            raise MissingInput(
                f"{stage.name} of {shard} needs {parent} of that shard: "
                f"materialise {parent} first, or run the whole graph."
            )
    return tables
