"""What a release says of its samples and of how they were made, so that the next one can be compared with it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import held_by
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.licences import licences
from imgdiff_assets.reading.corrected import corrected
from imgdiff_assets.reading.gathered import Gathered
from imgdiff_assets.stages import graph
from imgdiff_assets.stages.stage import Stage

MANIFEST, SAMPLES = "release.json", "samples.parquet"
KEYS = ("task", "pair_id", "region_id", "erased_from")
"""What a sample is about: of each there is one sample at most."""

VALUES = ("question", "answer", "first", "split", "source_hash", "target_hash", "erased_hash")
"""What may change of a sample that is about the same."""

PRECISION = "human_precision"
"""The key under which a manifest tells what reviewers found."""

NAMES = ("number", "version", "previous", "date", PRECISION)
"""What may tell releases apart that hold the same: another verdict alone makes no release."""

SCHEMA = pa.schema([(name, pa.string()) for name in ("sample_id", "shard", "caption_id", *KEYS, *VALUES)])


class _Manifest(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    number: int


MANIFEST_FILE: TypeAdapter[Any] = TypeAdapter(_Manifest)


class BrokenRelease(ImgDiffError, ValueError):
    """A release that is not what was written."""

    def __init__(self, folder: Path, file: str, error: Exception) -> None:
        what = "missing" if isinstance(error, FileNotFoundError) else "damaged"
        super().__init__(
            f"{folder / file} is {what}: put a copy in its place, or move {folder.name} away; "
            "`sha256sum -c SHA256SUMS` there tells which files are whole."
        )


@dataclass(frozen=True, slots=True)
class Contents:
    """The samples of a release (a row of SCHEMA each), and its manifest."""

    manifest: Mapping[str, Any]
    samples: Sequence[Row]

    @property
    def hash(self) -> str:
        """Equal for releases of the same samples from the same settings and models.

        What a manifest says nothing of is as what is empty, for older ones say less.
        """
        told = {name: value for name, value in self.manifest.items() if value and name not in NAMES}
        return content_hash(told, self.samples)


def contents(ledger: Ledger, stages: Sequence[Stage], gathered: Gathered, not_fresh: Sequence[str]) -> Contents:
    """What a release of these samples would hold, of the stages that tell of it; its version is not known yet."""
    samples = [
        {
            "shard": shard,
            "question": sample.conversations[0]["value"],
            **{name: getattr(sample, name) for name in SCHEMA.names if name not in ("shard", "question")},
        }
        for shard, rows in gathered.samples.items()
        for sample in rows
    ]
    shards = list(gathered.samples)
    records = {stage.name: [ledger.record(stage.name, shard) or {} for shard in shards] for stage in stages}
    newest = max((record.get("finished_at", "") for rows in records.values() for record in rows), default="")
    counts: dict[str, int] = {}
    for sample in samples:
        counts[sample["split"]] = counts.get(sample["split"], 0) + 1
    manifest = {
        "date": newest[:10],
        "shards": shards,
        "not_fresh": list(not_fresh),
        "failed_rows": sum(record.get("errors", 0) for rows in records.values() for record in rows),
        "samples": counts,
        "recipe": sorted({record.get("recipe", "") for record in records[graph.SAMPLES]}),
        "seed": sorted({record.get("seed", 0) for record in records[graph.SAMPLES]}),
        # Shards that are up to date with one recipe have its settings; the models that had a part in them may differ.
        "settings": {name: rows[0].get("settings", {}) for name, rows in records.items() if rows},
        "code_versions": {
            name: ", ".join(sorted({record.get("code_version", "") for record in rows}))
            for name, rows in records.items()
            if rows
        },
        "models": _models([record for rows in records.values() for record in rows]),
        "near_duplicates_left_out": [found.sample_id for found in gathered.left_out],
    }
    if said := _licences(ledger, shards):
        manifest["licences"] = said
    if corrections := _corrections(ledger, gathered):
        manifest["corrections"] = corrections
    return Contents(manifest, samples)


def _licences(ledger: Ledger, shards: Sequence[str]) -> list[dict[str, Any]]:
    """What was told of the shards' licences, and of which shards nothing was told; nothing where none was told."""
    home = Home(ledger.root.parent)
    told = licences(home)
    found: dict[tuple[str, str], list[str]] = {}
    for shard in shards:
        found.setdefault((held_by(home, shard), told.get(shard, "")), []).append(shard)
    if not any(licence for _, licence in found):
        return []
    return [{"holds": holds, "licence": licence, "shards": keys} for (holds, licence), keys in sorted(found.items())]


def _corrections(ledger: Ledger, gathered: Gathered) -> list[dict[str, Any]]:
    """What people corrected of the samples, beside what was found."""
    return [
        {"sample_id": sample.sample_id, **each.both()}
        for shard, rows in gathered.samples.items()
        if (said := corrected(ledger, shard))
        for sample in rows
        for each in said.get(sample.region_id or "", ())
        if each.applied and not sample.erased_from
    ]


def _models(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The models of all tables by role; where several played one, `captioner`, `captioner 2` and so on."""
    found: dict[str, list[Any]] = {}
    for record in records:
        for role, identity in record.get("models", {}).items():
            if identity not in found.setdefault(role, []):
                found[role].append(identity)
    return {
        role if number == 1 else f"{role} {number}": identity
        for role, identities in found.items()
        for number, identity in enumerate(identities, 1)
    }


def write_contents(found: Contents, folder: Path) -> None:
    text = json.dumps(found.manifest, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(list(found.samples), SCHEMA), folder / SAMPLES, compression="zstd")


def read_contents(folder: Path) -> Contents:
    """What a release says of itself. Raises BrokenRelease for a folder that is no whole release."""
    manifest = read_manifest(folder)
    try:
        return Contents(manifest, pq.read_table(folder / SAMPLES, schema=SCHEMA).to_pylist())
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BrokenRelease(folder, SAMPLES, error) from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """`release.json` of a release. Raises BrokenRelease."""
    try:
        manifest: dict[str, Any] = MANIFEST_FILE.validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise BrokenRelease(folder, MANIFEST, error) from error
    return manifest
