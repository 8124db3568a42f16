"""What came of each kind of difference: rewrites asked for, those kept, image pairs with samples, and samples."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow.compute as pc

from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.kind import OBJECT_REPLACED
from imgdiff_assets.reading.scan import scan

UNKNOWN = "unknown"
"""The kind of given pairs, of which nobody says what differs."""

COLUMNS = ("rewrites", "prompt_pairs", "pairs_with_samples", "samples")


def by_kind(ledger: Ledger, shards: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
    """The counts named in `COLUMNS`, by kind, in the order of the kinds' names. Raises DamagedTable.

    A sample counts where it is about the difference: not where both images show the same, nor of erased regions.
    """
    prompts = scan(ledger, "prompt_pairs", ["pair_id", "kind", "source_object", "kept"], shards=shards).to_pylist()
    samples = scan(ledger, "fine_tune_set", ["pair_id", "kind"], pc.field("kept"), shards).to_pylist()
    counts = {name: Counter[str]() for name in COLUMNS}
    for row in prompts:
        # A rewrite that was rejected may have no object; a given pair, which nobody rejects, need not have any.
        kind = row["kind"] or (OBJECT_REPLACED if row["source_object"] or not row["kept"] else UNKNOWN)
        counts["rewrites"][kind] += 1
        counts["prompt_pairs"][kind] += row["kept"]
    told = {row["pair_id"]: row["kind"] for row in samples if row["kind"]}
    counts["pairs_with_samples"].update(told.values())
    counts["samples"].update(row["kind"] for row in samples if row["kind"])
    return {kind: {name: counts[name][kind] for name in COLUMNS} for kind in sorted(counts["rewrites"])}


def by_kind_text(counts: Mapping[str, Mapping[str, int]]) -> str:
    """A table, a kind a line."""
    lines = [f"{'kind':<20}" + "".join(f"{name.replace('_', ' '):>20}" for name in COLUMNS)]
    lines += [f"{kind:<20}" + "".join(f"{row[name]:>20,}" for name in COLUMNS) for kind, row in counts.items()]
    return "\n".join(lines)
