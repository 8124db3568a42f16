"""Croissant metadata (https://docs.mlcommons.org/croissant/): what the files and their columns are, for machines."""

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imgdiff_assets.common.hashing import file_hash
from imgdiff_assets.export.hf import IMAGES, TEXTS
from imgdiff_assets.release import licensing

CROISSANT = "croissant.json"
NEEDS = ("mlcroissant",)


def write_croissant(folder: Path, manifest: Mapping[str, Any], description: str) -> None:
    """Describe `data/*.parquet` of the release in `folder`, of which `manifest` is known.

    Raises ValueError when the metadata are not valid.
    """
    import mlcroissant as mlc

    date = str(manifest["date"])

    files = sorted(path for path in (folder / "data").glob("*.parquet"))
    objects = [
        mlc.FileObject(
            id=path.name,
            name=path.name,
            content_url=f"data/{path.name}",
            encoding_formats=["application/x-parquet"],
            sha256=file_hash(path),
        )
        for path in files
    ]
    # A set of records for each file: a reader of the format takes one file at a time.
    types = {**dict.fromkeys(IMAGES, mlc.DataType.IMAGE_OBJECT), **dict.fromkeys(TEXTS, mlc.DataType.TEXT)}
    records = [
        mlc.RecordSet(
            id=path.stem,
            name=path.stem,
            description=f"Questions about two images each, with their answers; {path.stem.partition('-')[0]} split.",
            key=f"{path.stem}/sample_id",
            fields=[_field(mlc, path, column, kind) for column, kind in types.items()],
        )
        for path in files
    ]
    metadata = mlc.Metadata(
        name="image-differences",
        description=description,
        version=str(manifest["version"]),
        cite_as=licensing.bibtex(manifest),
        license=licensing.of_all(manifest) or None,
        date_published=datetime.datetime.fromisoformat(date) if date else None,
        url="https://arxiv.org/abs/2408.04594",
        distribution=objects,
        record_sets=records,
    )
    if metadata.issues.errors:
        raise ValueError(f"the Croissant metadata are not valid: {sorted(metadata.issues.errors)[0]}")
    text = json.dumps(metadata.to_json(), indent=2, default=str, ensure_ascii=False)
    (folder / CROISSANT).write_text(text + "\n", encoding="utf-8")


def _field(mlc: Any, file: Path, column: str, kind: Any) -> Any:
    # An image's column is a struct, of which the bytes are meant.
    transforms = [mlc.Transform(json_path="bytes")] if column in IMAGES else []
    source = mlc.Source(file_object=file.name, extract=mlc.Extract(column=column), transforms=transforms)
    return mlc.Field(id=f"{file.stem}/{column}", name=column, data_types=[kind], source=source)
