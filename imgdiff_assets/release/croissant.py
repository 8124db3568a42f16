"""Croissant metadata (https://docs.mlcommons.org/croissant/): what the files and their columns are, for machines."""

import datetime
import json
from pathlib import Path
from typing import Any

from imgdiff_assets.release.checksums import digest

CROISSANT = "croissant.json"
IMAGES = ("image_1", "image_2")
TEXTS = ("sample_id", "task", "question", "answer", "caption_id", "pair_id", "region_id")


def write_croissant(folder: Path, name: str, description: str, version: str, date: str) -> None:
    """Describe `data/*.parquet` of the release in `folder`. Raises ValueError when the metadata are not valid."""
    import mlcroissant as mlc

    files = sorted(path for path in (folder / "data").glob("*.parquet"))
    objects = [
        mlc.FileObject(
            id=path.name,
            name=path.name,
            content_url=f"data/{path.name}",
            encoding_formats=["application/vnd.apache.parquet"],
            sha256=digest(path),
        )
        for path in files
    ]
    parquet = mlc.FileSet(
        id="parquet-files",
        name="parquet-files",
        contained_in=[path.name for path in files],
        encoding_formats=["application/vnd.apache.parquet"],
        includes=["*.parquet"],
    )
    types = {**dict.fromkeys(IMAGES, mlc.DataType.IMAGE_OBJECT), **dict.fromkeys(TEXTS, mlc.DataType.TEXT)}
    records = mlc.RecordSet(
        id="samples",
        name="samples",
        description="One question about two images, and its answer.",
        key="samples/sample_id",
        fields=[_field(mlc, column, kind) for column, kind in types.items()],
    )
    metadata = mlc.Metadata(
        name=name,
        description=description,
        version=version,
        date_published=datetime.datetime.fromisoformat(date) if date else None,
        url="https://arxiv.org/abs/2408.04594",
        distribution=[*objects, parquet],
        record_sets=[records],
    )
    if metadata.issues.errors:
        raise ValueError(f"the Croissant metadata are not valid: {sorted(metadata.issues.errors)[0]}")
    text = json.dumps(metadata.to_json(), indent=2, default=str, ensure_ascii=False)
    (folder / CROISSANT).write_text(text + "\n", encoding="utf-8")


def _field(mlc: Any, column: str, kind: Any) -> Any:
    source = mlc.Source(file_set="parquet-files", extract=mlc.Extract(column=column))
    return mlc.Field(id=f"samples/{column}", name=column, data_types=[kind], source=source)
