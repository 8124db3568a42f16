"""What a model is asked: the rows of a release, or of a folder in the form that Hugging Face `datasets` reads."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import content_hash

ASKED = ("sample_id", "task", "question", "answer", "images")
"""Columns that there must be."""

SEEN = ("source_region_caption", "target_region_caption")
"""What a region shows in either image: by them an answer is judged that is worded otherwise than the right one."""


class NothingHeldOut(ImgDiffError, ValueError):
    """A place that holds no questions that can be asked."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question about one image or two, encoded, and the answer that is right.

    `seen` is what the region shows in the image that is called the left one and in the other, where that is known.
    """

    sample_id: str
    task: str
    question: str
    answer: str
    encoded: tuple[bytes, ...]
    seen: tuple[str, str] | None

    @property
    def images(self) -> list[Pixels]:
        """The images, (H, W, 3) uint8. Raises NothingHeldOut."""
        try:
            return [np.asarray(Image.open(io.BytesIO(image)).convert("RGB")) for image in self.encoded]
        except (OSError, ValueError) as error:
            raise NothingHeldOut(f"sample {self.sample_id}: an image of it cannot be read ({error}).") from error


def read_items(
    folder: Path, split: str = "validation", tasks: Sequence[str] = (), limit: int | None = None
) -> list[Item]:
    """The questions of one split, in the order of their ids' hashes, so that the first of them are a fair choice.

    Raises NothingHeldOut, which names the file and what is missing of it, and OSError.
    """
    files = sorted((folder / "data").glob(f"{split}-*.parquet"))
    if not files:
        there = sorted({file.name.partition("-")[0] for file in (folder / "data").glob("*-*.parquet")})
        hint = (
            f"there is {' and '.join(there)}: name one with --split"
            if there
            else ("name a release, or what `imgdiff export --format hf` wrote")
        )
        raise NothingHeldOut(f"{folder}: has no data/{split}-*.parquet; {hint}.")
    found = [item for file in files for item in _items(file, tasks)]
    if not found:
        only = f" of {', '.join(tasks)}" if tasks else ""
        raise NothingHeldOut(f"{folder}: {split} has no rows{only}.")
    found.sort(key=lambda item: content_hash(item.sample_id))
    return found[:limit]


def _items(file: Path, tasks: Sequence[str]) -> list[Item]:
    try:
        names = pq.read_schema(file).names
        if missing := [name for name in ASKED if name not in names]:
            raise NothingHeldOut(f"{file}: has no column {', '.join(missing)}; evaluation reads a release, or `hf`.")
        rows = pq.read_table(file, columns=[name for name in (*ASKED, *SEEN) if name in names]).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise NothingHeldOut(f"{file}: is no whole Parquet file ({error}).") from error
    items = []
    for number, row in enumerate(rows):
        if tasks and row["task"] not in tasks:
            continue
        if not row["images"] or not all(row[name] for name in ASKED):
            raise NothingHeldOut(f"{file}, row {number}: has no {next(name for name in ASKED if not row[name])}.")
        seen = tuple(row.get(name) for name in SEEN)
        items.append(
            Item(
                sample_id=row["sample_id"],
                task=row["task"],
                question=row["question"],
                answer=row["answer"],
                encoded=tuple(image["bytes"] for image in row["images"]),
                seen=(str(seen[0]), str(seen[1])) if all(seen) else None,
            )
        )
    return items
