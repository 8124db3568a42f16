"""What is known of pairs by their ids: of those that were written, drawn or given, and of those derived from these."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.stages.derived_items import TABLE as DERIVED


def scan_pairs(
    ledger: Ledger,
    asset: str,
    columns: Sequence[str],
    where: pc.Expression | None = None,
    shards: Sequence[str] | None = None,
) -> pa.Table:
    """As `scan` of `prompt_pairs` or `image_pairs`, with the rows of `derived_pairs` after them."""
    tables = (asset, *([DERIVED] if ledger.shards(DERIVED, shards) else []))
    return pa.concat_tables([scan(ledger, table, columns, where, shards) for table in tables])
