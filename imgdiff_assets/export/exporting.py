"""Exporting: the kept samples of some shards, shard by shard, into one folder of one format."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from imgdiff_assets.common.environment import library_versions
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.export.folder import export_folder
from imgdiff_assets.export.format import Entry, Format, require
from imgdiff_assets.export.options import ExportError, Options
from imgdiff_assets.export.preferences import Rejected, rejected_answers
from imgdiff_assets.export.view import SPLITS, views
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.gathered import Gathered, gather
from imgdiff_assets.reading.samples import Sample, SampleImages

PARTS, README = ".parts", "README.md"
VERSION = 4
"""Raised when our code writes something else of the same samples: what an older version left is not gone on with."""


def export(
    ledger: Ledger, shards: Sequence[str], form: Format, out: Path, options: Options, progress: Progress
) -> dict[str, Any]:
    """Write the kept samples of `shards` to the folder `out`; returns what its `export.json` says.

    Raises ExportError, StaleSample, DamagedTable, OSError.
    """
    options = form.options(options)
    require(form.name, form.needs)
    gathered = gather(ledger, shards, options.tasks)
    if options.tasks is not None and not len(gathered):
        raise ExportError(
            f"{form.name}: there are no kept samples of {', '.join(options.tasks)}; `fine_tune_set.tasks` of the "
            "recipe says which samples are made, `imgdiff stats` what was rejected and why."
        )
    rejected: dict[str, Rejected] = {}
    if options.preference:
        for shard, of_shard in gathered.samples.items():
            rejected |= rejected_answers(ledger, shard, of_shard)
        kept = {shard: [one for one in rows if one.sample_id in rejected] for shard, rows in gathered.samples.items()}
        gathered = Gathered(kept, gathered.left_out)
    samples = [[shard, [asdict(sample) for sample in samples]] for shard, samples in gathered.samples.items()]
    told = [] if not rejected else [[sample_id, asdict(worse)] for sample_id, worse in sorted(rejected.items())]
    plan = plan_of(form, options, samples, *told)
    return export_folder(
        out, plan, lambda folder: write_samples(ledger, form, gathered, folder, options, progress, rejected)
    )


def plan_of(form: Format, options: Options, *content: Any) -> str:
    """Hash of what an export's bytes depend on beside the ledger's images: an unfinished one goes on by the same."""
    return content_hash(form.name, form.package, VERSION, options.to_json(), content, library_versions())


def write_samples(
    ledger: Ledger,
    form: Format,
    gathered: Gathered,
    folder: Path,
    options: Options,
    progress: Progress,
    rejected: Mapping[str, Rejected] | None = None,
) -> dict[str, Any]:
    """Write gathered samples into `folder`, where some shards may be complete already; returns what was written.

    With `rejected`, answers by sample id that are worse, which the options ask for.
    """
    total = len(gathered)
    parts = {shard: folder / PARTS / f"{shard}.jsonl" for shard, samples in gathered.samples.items() if samples}
    done = 0
    for shard, part in parts.items():
        samples, written = gathered.samples[shard], _beyond(progress, done, total)
        if part.exists():
            written(len(samples))
        else:
            _write_shard(ledger, form, shard, samples, folder, part, options, written, rejected)
        done += len(samples)

    def entries(split: str) -> Iterator[Entry]:
        for part in parts.values():
            yield from _read_part(part, split)

    if total:
        form.finish(folder, entries, options)
        if form.training:
            (folder / README).write_text(form.readme, encoding="utf-8")
        for part in parts.values():
            part.unlink()
        (folder / PARTS).rmdir()
    return {
        "format": form.name,
        "options": options.to_json(),
        "samples": {split: sum(sample.split == split for sample in gathered) for split in SPLITS},
        "tasks": dict(Counter(sample.task for sample in gathered)),
        "near_duplicates_left_out": [asdict(sample) for sample in gathered.left_out],
    }


def _beyond(progress: Progress, done: int, total: int) -> Callable[[int], None]:
    """Tells how many samples there are with those that were `done` before."""
    return lambda more: progress("export", done + more, total)


def _write_shard(
    ledger: Ledger,
    form: Format,
    shard: str,
    samples: Sequence[Sample],
    folder: Path,
    part: Path,
    options: Options,
    written: Callable[[int], None],
    rejected: Mapping[str, Rejected] | None,
) -> None:
    """The shard's files; then its entries, whose file `part` says that the others are complete."""
    with (
        closing(SampleImages(ledger, shard)) as images,
        atomic_file(part) as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        entries = form.write_shard(folder, shard, views(shard, samples, images, options, rejected), options)
        for number, (sample, entry) in enumerate(zip(samples, entries, strict=True), 1):
            file.write(json.dumps([sample.split, entry], ensure_ascii=False) + "\n")
            written(number)


def _read_part(part: Path, split: str) -> Iterator[Entry]:
    with part.open(encoding="utf-8") as file:
        for line in file:
            side, entry = json.loads(line)
            if side == split:
                yield entry
