"""A sample as the formats have it whose entries are text: what `imgdiff export` writes, without the pictures."""

import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from PIL import Image

from imgdiff_assets.export.formats import formats
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.view import View, views
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.samples import Sample, SampleImages, read_samples


def exported(ledger: Ledger, shard: str, sample_id: str) -> list[tuple[str, str]]:
    """(format, its entry as JSON) of a kept sample, for the formats that take its task; none of any other row.

    Raises StaleSample, DamagedTable, OSError.
    """
    samples = [sample for sample in read_samples(ledger, shard) if sample.sample_id == sample_id]
    return [entry for sample in samples for entry in _entries(ledger, shard, sample)]


def _entries(ledger: Ledger, shard: str, sample: Sample) -> Iterator[tuple[str, str]]:
    with closing(SampleImages(ledger, shard)) as images, tempfile.TemporaryDirectory() as folder:
        for name, form in formats().items():
            if not form.entries_are_text or (form.tasks is not None and sample.task not in form.tasks):
                continue
            options = form.options(Options())
            blind = (_without_pictures(view) for view in views(shard, [sample], images, options))
            (entry,) = form.write_shard(Path(folder) / name, shard, blind, options)
            yield name, json.dumps(entry, ensure_ascii=False, indent=2)


def _without_pictures(view: View) -> View:
    """The same view with an empty picture in the place of each: paths and texts are all that is shown."""
    return replace(view, pictures=tuple(replace(picture, encoded=_empty) for picture in view.pictures))


def _empty() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, format="PNG")
    return buffer.getvalue()
