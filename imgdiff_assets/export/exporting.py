"""Exporting: the kept samples of some shards, shard by shard, into one folder of one format."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from imgdiff_assets.common.environment import library_versions
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.export.folder import export_folder
from imgdiff_assets.export.formats import FORMATS, Entry, Writer
from imgdiff_assets.export.options import ExportError, Options
from imgdiff_assets.export.view import SPLITS, views
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.gathered import Gathered, gather
from imgdiff_assets.reading.samples import Sample, SampleImages

PARTS = ".parts"
VERSION = 1
"""Raised when a writer writes something else of the same samples: what an older version left is not gone on with."""


def export(
    ledger: Ledger, shards: Sequence[str], format_name: str, out: Path, options: Options, progress: Progress
) -> dict[str, Any]:
    """Write the kept samples of `shards` to the folder `out`; returns what its `export.json` says.

    Raises ExportError, StaleSample, DamagedTable, OSError.
    """
    options = _fitting(format_name, options)
    gathered = gather(ledger, shards, options.tasks)
    plan = content_hash(
        format_name,
        VERSION,
        options.to_json(),
        [[shard, [asdict(sample) for sample in samples]] for shard, samples in gathered.samples.items()],
        library_versions(),
    )
    with requirements_named():
        return export_folder(
            out, plan, lambda folder: write_samples(ledger, format_name, gathered, folder, options, progress)
        )


@contextmanager
def requirements_named() -> Iterator[None]:
    """A library that only exports need may not be installed. Raises ExportError, which says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ExportError(
            f"{error.name} is not installed: pip install 'imgdiff-assets[export]', then try again."
        ) from error


def _fitting(format_name: str, options: Options) -> Options:
    """The options with what the format fixes of them. Raises ExportError for a choice that it does not have."""
    fixed = FORMATS[format_name]
    if options.single and fixed.single is False:
        raise ExportError(f"{format_name}: has two images; leave out --single-image.")
    if not options.boxes and fixed.boxes:
        raise ExportError(f"{format_name}: has red boxes in its images; leave out --clean.")
    if fixed.tasks is not None and options.tasks is not None and options.tasks != fixed.tasks:
        raise ExportError(f"{format_name}: has only the task {', '.join(fixed.tasks)}; leave out --task.")
    return Options(
        tasks=options.tasks if fixed.tasks is None else fixed.tasks,
        boxes=options.boxes if fixed.boxes is None else fixed.boxes,
        single=options.single if fixed.single is None else fixed.single,
    )


def write_samples(
    ledger: Ledger, format_name: str, gathered: Gathered, folder: Path, options: Options, progress: Progress
) -> dict[str, Any]:
    """Write gathered samples into `folder`, where some shards may be complete already; returns what was written."""
    writer = FORMATS[format_name].writer
    done, total = 0, len(gathered)
    for shard, samples in gathered.samples.items():
        part = folder / PARTS / f"{shard}.jsonl"
        if samples and not part.exists():
            _write_shard(
                writer, ledger, folder, shard, samples, part, options, lambda n: progress("export", n, total), done
            )
        elif samples:
            progress("export", done + len(samples), total)
        done += len(samples)

    def entries(split: str) -> Iterator[Entry]:
        for shard, samples in gathered.samples.items():
            if samples:
                yield from _read_part(folder / PARTS / f"{shard}.jsonl", split)

    if total:
        writer.finish(folder, entries, options)
        for part in (folder / PARTS).iterdir():
            part.unlink()
        (folder / PARTS).rmdir()
    counts = {split: sum(sample.split == split for sample in gathered) for split in SPLITS}
    tasks: dict[str, int] = {}
    for sample in gathered:
        tasks[sample.task] = tasks.get(sample.task, 0) + 1
    return {
        "format": format_name,
        "options": options.to_json(),
        "samples": counts,
        "tasks": tasks,
        "near_duplicates_left_out": [asdict(sample) for sample in gathered.left_out],
    }


def _write_shard(
    writer: Writer,
    ledger: Ledger,
    folder: Path,
    shard: str,
    samples: Sequence[Sample],
    part: Path,
    options: Options,
    progress: Callable[[int], None],
    done: int,
) -> None:
    """The shard's files; then its entries, whose file says that the others are complete."""
    images = SampleImages(ledger, shard)
    try:
        with atomic_file(part) as temporary, temporary.open("w", encoding="utf-8") as file:
            shown = views(shard, samples, images, options)
            for number, (sample, entry) in enumerate(
                zip(samples, writer.write_shard(folder, shard, shown, options), strict=True), 1
            ):
                file.write(json.dumps([sample.split, entry], ensure_ascii=False) + "\n")
                progress(done + number)
    finally:
        images.close()


def _read_part(part: Path, split: str) -> Iterator[Entry]:
    with part.open(encoding="utf-8") as file:
        for line in file:
            side, entry = json.loads(line)
            if side == split:
                yield entry
