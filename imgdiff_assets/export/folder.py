"""An exported folder: there whole or not at all, and never in place of anything else."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

MARKER = "export.json"
MADE_BY = "imgdiff export"


class ExportError(ValueError):
    """A place that cannot be exported to, or nothing to export."""


def export_folder(out: Path, format_name: str, write: Callable[[Path], Mapping[str, int]]) -> dict[str, int]:
    """Call `write` on an empty folder beside `out`, then put that folder in the place of `out`.

    `out` may be missing, empty, or an earlier export, which stays until the new one is complete. Returns what `write`
    returns: the number of samples of each split. Raises ExportError and whatever `write` raises.
    """
    out = out.expanduser().absolute()
    _check(out)
    temporary, replaced = (out.with_name(f".{out.name}.{state}") for state in ("partial", "replaced"))
    for leftover in (temporary, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        counts = dict(write(temporary))
        if not any(counts.values()):
            raise ExportError("There are no kept samples to export; `imgdiff stats` shows what was rejected and why.")
        marker = {"made_by": MADE_BY, "format": format_name, "samples": counts}
        (temporary / MARKER).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")
        if out.exists():
            os.replace(out, replaced)
        os.replace(temporary, out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
    return counts


def _check(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ExportError(f"{out}: is a file; name a folder with --out.")
    if out.is_dir() and any(out.iterdir()) and not _is_export(out):
        raise ExportError(f"{out}: holds other files, which an export would remove; name a new or empty folder.")


def _is_export(folder: Path) -> bool:
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(marker, dict) and marker.get("made_by") == MADE_BY
