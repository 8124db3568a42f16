"""What a format of export is: the facts that help, cards and errors tell of it, and what writes it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imgdiff_assets.export.options import ExportError, Options
from imgdiff_assets.export.view import View

Entry = dict[str, Any]
"""What a format keeps of one sample until all shards are written: JSON values."""

Entries = Callable[[str], Iterator[Entry]]
"""The entries of one split, of all shards in order; may be asked for several times."""

FOLDER = "FOLDER"
"""Stands in `Format.loading` for the exported folder, within double quotes."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format of export; a file of this package makes one, or a package that is installed beside it.

    `name` is what `imgdiff export --format` takes. `reads` (who reads it) and `files` (what they find in the folder)
    are shown in one line. `loading` is Python that reads the training samples in `FOLDER` as `train`.

    `write_shard(folder, shard, views, options)` writes what belongs to one shard alone, such as pictures, and yields
    one entry per view, in order; a shard that is begun anew may find files of the first attempt. `finish(folder,
    entries, options)` writes what needs all entries. Equal samples must give equal bytes.

    `preference` says that it has a layout for views with a rejected answer too, to which the options' `preference`
    leads. `boxes` and `single` are what the format fixes of the options, None where it leaves the choice; `tasks` are
    those that it has, None for all. `needs` names the packages that writing imports, beside those always there.
    `training` is Markdown for the folder's README: the command by which its reader trains, and where that goes wrong;
    a format that writes a README of its own needs none. `trainer` is for whom `imgdiff train-config` writes.
    `entries_are_text` says that an entry is what a reader finds of the sample but for the pictures, so that a page can
    show it. `package` is the installed package that offers the format, with its version; None for ours.
    """

    name: str
    reads: str
    files: str
    loading: str
    write_shard: Callable[[Path, str, Iterator[View], Options], Iterator[Entry]]
    finish: Callable[[Path, Entries, Options], None]
    boxes: bool | None = None
    single: bool | None = None
    tasks: tuple[str, ...] | None = None
    preference: bool = False
    needs: tuple[str, ...] = ()
    training: str = ""
    trainer: str | None = None
    entries_are_text: bool = False
    package: str | None = None

    @property
    def described(self) -> str:
        """Who reads it, what they find, what it fixes, and whose it is: a line for the help."""
        fixed = [
            {None: "", True: "always with red boxes", False: "clean images"}[self.boxes],
            {None: "", True: "both images in one picture", False: "two images"}[self.single],
            f"only {self._tasks}" if self.tasks else "",
        ]
        fixed.append("also with --task preference" if self.preference else "")
        notes = "; ".join(filter(None, [*fixed, f"from {self.package}" if self.package else ""]))
        return f"{self.reads}: {self.files}" + (f" ({notes})" if notes else "")

    @property
    def _tasks(self) -> str:
        return f"the task{'s' * (len(self.tasks or ()) > 1)} {', '.join(self.tasks or ())}"

    def loading_from(self, folder: str) -> str:
        """The lines of Python that read the training samples in `folder` as `train`."""
        return self.loading.replace(FOLDER, json.dumps(folder, ensure_ascii=False)[1:-1])

    @property
    def readme(self) -> str:
        """What the folder says of itself; the same for all folders, which are called FOLDER in it."""
        return (
            f"# Image differences\n\nFor {self.reads}: {self.files}. `{FOLDER}` below is this folder.\n\n"
            f"```python\n{self.loading}\n```\n\n{self.training}\n"
        )

    def options(self, wished: Options) -> Options:
        """The options with what the format fixes of them. Raises ExportError for a choice that it does not have."""
        if wished.single and self.single is False:
            raise ExportError(f"{self.name}: has two images; leave out --single-image.")
        if not wished.boxes and self.boxes:
            raise ExportError(f"{self.name}: has red boxes in its images; leave out --clean.")
        if wished.preference and not self.preference:
            raise ExportError(f"{self.name}: has no layout of rejected answers; leave out --task preference.")
        if self.tasks is not None and not set(wished.tasks or ()) <= set(self.tasks):
            raise ExportError(f"{self.name}: has only {self._tasks}; leave out --task.")
        return Options(
            tasks=wished.tasks or self.tasks,
            boxes=wished.boxes if self.boxes is None else self.boxes,
            single=wished.single if self.single is None else self.single,
            preference=wished.preference,
        )


def require(what: str, packages: tuple[str, ...]) -> None:
    """Raises ExportError, which says how to get it, when a package is not installed that `what` is written with."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ExportError(
            f"{what} is written with {', '.join(missing)}, not installed here: pip install {' '.join(missing)}, or "
            "'imgdiff-assets[export]' for all that exports need."
        )
