"""The formats that samples can be exported to, by name. A writer's module is imported when it is asked for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from imgdiff_assets.export.options import Options
    from imgdiff_assets.export.view import View

Entry = dict[str, Any]
"""What a writer keeps of one sample until all shards are written: JSON values."""

Entries = Callable[[str], Iterator[Entry]]
"""The entries of one split, of all shards in order; may be asked for several times."""


class Writer(Protocol):
    """A module that writes one format.

    `write_shard` writes what belongs to one shard alone, such as pictures, and yields one entry per view, in order; a
    shard that is begun anew may find files of the first attempt. `finish` writes what needs all entries.
    """

    def write_shard(
        self, folder: Path, shard: str, views: "Iterator[View]", options: "Options"
    ) -> Iterator[Entry]: ...

    def finish(self, folder: Path, entries: Entries, options: "Options") -> None: ...


@dataclass(frozen=True, slots=True)
class Format:
    """`boxes`, `single`, `tasks`: what the format fixes of the options; None where it leaves the choice."""

    module: str
    reads: str
    boxes: bool | None = None
    single: bool | None = None
    tasks: tuple[str, ...] | None = None

    @property
    def writer(self) -> Writer:
        return cast(Writer, import_module(self.module))


FORMATS: Mapping[str, Format] = {
    "llava": Format("imgdiff_assets.export.llava", "LLaVA's trainers: train.json, validation.json, images/"),
    "sharegpt": Format("imgdiff_assets.export.sharegpt", "LLaMA-Factory: the same, with dataset_info.json"),
    "swift": Format("imgdiff_assets.export.swift", "ms-swift: JSON lines with `objects`"),
    "hf": Format("imgdiff_assets.export.hf", "Hugging Face `datasets`: Parquet with images, dataset card"),
    "webdataset": Format("imgdiff_assets.export.web_dataset", "WebDataset: tar shards"),
    "coco": Format(
        "imgdiff_assets.export.coco", "COCO: boxes in both images, xywh in pixels", boxes=False, single=False
    ),
    "imgdiff": Format(
        "imgdiff_assets.export.imgdiff",
        "readers of the released Img-Diff set: its keys and file names",
        boxes=True,
        single=False,
        tasks=("difference",),
    ),
}
