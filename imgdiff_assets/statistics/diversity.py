"""How varied the replacements are: objects, (replaced, replacing) pairs, and how evenly they are used."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.plain_text import counted, printable
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.replacement_gaps import filled_cells
from imgdiff_assets.reading.pairs import scan_pairs
from imgdiff_assets.reading.scan import scan

LISTED = 10


@dataclass(frozen=True, slots=True)
class Spread:
    """How often each of some values occurs."""

    counts: Mapping[Any, int]

    @property
    def entropy(self) -> float:
        """Shannon's, in bits."""
        total = sum(self.counts.values())
        return -sum(n / total * math.log2(n / total) for n in self.counts.values()) + 0.0 if total else 0.0

    @property
    def evenness(self) -> float:
        """Entropy over that of the same values used alike (Pielou, 1966): 1 is even, 0 is all in one."""
        return self.entropy / math.log2(len(self.counts)) if len(self.counts) > 1 else 0.0

    def most_common(self) -> list[tuple[Any, int]]:
        """Values and counts, the most frequent first; equals in the order of the values."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))


@dataclass(frozen=True, slots=True)
class Diversity:
    """The replacements of some pairs."""

    cells: Spread

    @property
    def replaced(self) -> Spread:
        return self._side(0)

    @property
    def replacing(self) -> Spread:
        return self._side(1)

    @property
    def categories(self) -> int:
        """Distinct objects, on either side."""
        return len({name for cell in self.cells.counts for name in cell})

    @property
    def coverage(self) -> float:
        """The share of all (replaced, replacing) pairs of different objects that there is at least one of."""
        possible = sum(name != other for name in self.replaced.counts for other in self.replacing.counts)
        return len(self.cells.counts) / possible if possible else 0.0

    def _side(self, index: int) -> Spread:
        counts: Counter[str] = Counter()
        for cell, count in self.cells.counts.items():
            counts[cell[index]] += count
        return Spread(counts)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; every cell with its count."""
        spreads = {"replaced": self.replaced, "replacing": self.replacing, "cells": self.cells}
        return {
            "pairs": sum(self.cells.counts.values()),
            "categories": self.categories,
            "coverage": self.coverage,
            **{
                name: {"distinct": len(spread.counts), "entropy_bits": spread.entropy, "evenness": spread.evenness}
                for name, spread in spreads.items()
            },
            "counts": [[*cell, count] for cell, count in self.cells.most_common()],
        }


def diversity(ledger: Ledger, shards: Sequence[str], pair_ids: Sequence[str] | None = None) -> Diversity:
    """The replacements of the kept prompt pairs of `shards`, or of those pairs alone. Raises DamagedTable."""
    where = pc.field("kept") if pair_ids is None else pc.field("pair_id").isin(pa.array(pair_ids, pa.string()))
    read = scan if pair_ids is None else scan_pairs  # derived pairs were not written
    table = read(ledger, "prompt_pairs", ["source_object", "target_object"], where, shards)
    cells = zip(table["source_object"].to_pylist(), table["target_object"].to_pylist(), strict=True)
    return Diversity(Spread(Counter(cell for cell in cells if all(cell))))


def filled_so_far(home: Home) -> Callable[[str], str]:
    """What is noted beside each new caption: how often its replacements were made until now. Raises DamagedTable."""
    return filled_cells(diversity(Ledger(home.ledger), shard_keys(home)).cells.counts)


def written_and_kept(ledger: Ledger, shards: Sequence[str]) -> tuple[Diversity, Diversity]:
    """The replacements of all kept prompt pairs, and of those that kept samples came of. Raises DamagedTable."""
    samples = scan(ledger, "fine_tune_set", ["pair_id"], pc.field("kept"), shards)
    return diversity(ledger, shards), diversity(ledger, shards, samples["pair_id"].unique().to_pylist())


def diversity_text(written: Diversity, kept: Diversity) -> str:
    """A table: the prompt pairs as written beside those that samples came of, then the fullest cells."""
    rows: list[tuple[str, ...]] = [("", "prompt pairs", "pairs with samples")]
    columns = [one.to_json() for one in (written, kept)]
    rows.append(("pairs", *(f"{one['pairs']:,}" for one in columns)))
    rows.append(("object categories", *(f"{one['categories']:,}" for one in columns)))
    for name, label in (("replaced", "replaced"), ("replacing", "replacing"), ("cells", "(replaced, replacing)")):
        rows.append((f"{label}: distinct", *(f"{one[name]['distinct']:,}" for one in columns)))
        rows.append(
            (
                f"{label}: entropy, evenness",
                *(f"{one[name]['entropy_bits']:.2f} bits, {one[name]['evenness']:.2f}" for one in columns),
            )
        )
    rows.append(("coverage of all cells", *(f"{one['coverage']:.1%}" for one in columns)))
    lines = [f"{label:<38}{one:>20}{two:>20}".rstrip() for label, one, two in rows]
    fullest = written.cells.most_common()[:LISTED]
    if fullest:
        lines += ["", f"The fullest of {counted(len(written.cells.counts), 'cell')}:"]
        lines += [f"  {count:>7,}  {printable(source)} → {printable(target)}" for (source, target), count in fullest]
    return "\n".join(lines)
