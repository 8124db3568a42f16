"""What came of each kind of difference: rewrites asked for, those kept, image pairs with samples, and samples."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow.compute as pc

from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.kind import KIND_COLUMNS, OBJECT_REPLACED, kind_of
from imgdiff_assets.reading.pairs import scan_pairs
from imgdiff_assets.reading.scan import scan

COLUMNS = ("rewrites", "prompt_pairs", "pairs_with_samples", "samples")


def by_kind(ledger: Ledger, shards: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
    """The counts named in `COLUMNS`, by kind, in the order of the kinds' names. Raises DamagedTable.

    A sample counts where it is about the difference: not where both images show the same, nor of erased regions. Those
    of derived pairs count where the pair that they are made of does.
    """
    names = ["pair_id", *KIND_COLUMNS, "kept"]
    prompts = scan(ledger, "prompt_pairs", names, shards=shards).to_pylist()
    derived = scan_pairs(ledger, "prompt_pairs", names, shards=shards).to_pylist()[len(prompts) :]
    about = pc.field("kept") & pc.field("region_id").is_valid() & pc.field("erased_from").is_null()
    samples = Counter(scan(ledger, "fine_tune_set", ["pair_id"], about, shards)["pair_id"].to_pylist())
    counts = {name: Counter[str]() for name in COLUMNS}
    for row in prompts:
        # A rewrite that was rejected counts as what was asked for: it need not have been understood.
        kind = kind_of(row) if row["kept"] else row["asked_kind"] or OBJECT_REPLACED
        made = samples[row["pair_id"]]
        for name, count in zip(COLUMNS, (1, row["kept"], made > 0, made), strict=True):
            counts[name][kind] += count
    for row in derived:
        made = samples[row["pair_id"]]
        counts["pairs_with_samples"][kind_of(row)] += made > 0
        counts["samples"][kind_of(row)] += made
    return {kind: {name: counts[name][kind] for name in COLUMNS} for kind in sorted(counts["rewrites"])}


def by_kind_text(counts: Mapping[str, Mapping[str, int]]) -> str:
    """A table, a kind a line."""
    lines = [f"{'kind':<20}" + "".join(f"{name.replace('_', ' '):>20}" for name in COLUMNS)]
    lines += [f"{kind:<20}" + "".join(f"{row[name]:>20,}" for name in COLUMNS) for kind, row in counts.items()]
    return "\n".join(lines)
