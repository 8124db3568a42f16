"""The kept samples of many shards as one set, from which training samples too near to validation ones are left out.

Inside a shard the filters of `fine_tune_set` see to that. Shards know nothing of each other, so that a shard's rows
never depend on which others there are; where they are put together, the same rule is applied to all of them: of two
near-duplicates on both sides of the split the training sample is left out, and no caption ever changes sides.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.near_duplicates import SIGNATURE_COLUMNS, Signatures, nearest, unpacked
from imgdiff_assets.reading.samples import Sample, read_samples
from imgdiff_assets.reading.scan import scan


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A training sample that is too near to a validation sample of some shard."""

    sample_id: str
    pair_id: str
    shard: str
    bits: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Gathered:
    """Samples by shard, in the order of the shards and of their tables, and those that were left out."""

    samples: Mapping[str, Sequence[Sample]]
    left_out: Sequence[LeftOut]

    def __len__(self) -> int:
        return sum(map(len, self.samples.values()))

    def __iter__(self) -> Iterator[Sample]:
        return (sample for samples in self.samples.values() for sample in samples)


def gather(ledger: Ledger, shards: Sequence[str], tasks: Sequence[str] | None = None) -> Gathered:
    """The kept samples of `shards` (of all tasks, or of some). Raises StaleSample, DamagedTable."""
    samples = {shard: read_samples(ledger, shard, tasks) for shard in sorted(shards)}
    held_out = [
        _signatures(ledger, shard, {sample.pair_id for sample in rows if sample.split == "validation"})[1]
        for shard, rows in samples.items()
    ]
    validation = _by_model(held_out)
    left_out: list[LeftOut] = []
    for shard, rows in samples.items():
        found = _too_near(ledger, shard, rows, validation)
        left_out += found
        gone = {sample.sample_id for sample in found}
        samples[shard] = [sample for sample in rows if sample.sample_id not in gone]
    return Gathered(samples, left_out)


def _too_near(
    ledger: Ledger, shard: str, samples: Sequence[Sample], validation: Sequence[Signatures]
) -> list[LeftOut]:
    """By the limits that the shard itself was judged by."""
    training = [sample for sample in samples if sample.split != "validation"]
    settings = (ledger.record("fine_tune_set", shard) or {}).get("settings", {})
    pairs, signatures = _signatures(ledger, shard, {sample.pair_id for sample in training})
    distances = [nearest(signatures, others) for others in validation]
    if not distances:
        return []
    bits, similarities = np.min([bits for bits, _ in distances], 0), np.max([alike for _, alike in distances], 0)
    close = {
        pair: (int(bit), float(similarity))
        for pair, bit, similarity in zip(pairs, bits, similarities, strict=True)
        if bit < settings.get("min_validation_bits", 0)
        or similarity >= settings.get("max_validation_similarity", np.inf)
    }
    return [
        LeftOut(sample.sample_id, sample.pair_id, shard, *close[sample.pair_id])
        for sample in training
        if sample.pair_id in close
    ]


def _signatures(ledger: Ledger, shard: str, pairs: set[str]) -> tuple[list[str], Signatures]:
    where = pc.field("pair_id").isin(pa.array(sorted(pairs), pa.string())) & pc.field("source_phash").is_valid()
    rows = scan(ledger, "filtered_pairs", ["pair_id", *SIGNATURE_COLUMNS], where, [shard]).to_pylist()
    return [row["pair_id"] for row in rows], unpacked([row[name] for name in SIGNATURE_COLUMNS] for row in rows)


def _by_model(parts: Sequence[Signatures]) -> list[Signatures]:
    """The signatures of many shards as one for each size of vectors: shards may be of different models."""
    by_size: dict[int, list[Signatures]] = {}
    for part in parts:
        if len(part):
            by_size.setdefault(part.vectors.shape[1], []).append(part)
    return [
        Signatures(np.concatenate([part.hashes for part in same]), np.concatenate([part.vectors for part in same]))
        for same in by_size.values()
    ]
