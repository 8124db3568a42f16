"""An exported folder: there whole or not at all, never in place of anything else, and taken up where it was left.

While it is made it lies beside its place, under a name that begins with a dot, with the plan that it is made by. An
export by the same plan goes on with what is there; any other begins anew.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from imgdiff_assets.common.own_output import MADE_BY, MARKER, is_export
from imgdiff_assets.export.options import ExportError

PLAN = ".plan"
PARTIAL = ".partial"


def export_folder(out: Path, plan: str, write: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """Call `write` on a folder beside `out`, then put that folder in the place of `out`.

    `out` may be missing, empty, or an earlier export, which stays until the new one is complete. What `write` returns,
    with its count of `samples` by split, is written into the folder too. When `write` raises or is killed, the folder
    is kept, and given to the next `write` that has the same `plan`. Raises ExportError and whatever `write` raises.
    """
    out = out.expanduser().absolute()
    _check(out)
    temporary, replaced = partial_of(out), out.with_name(f".{out.name}.replaced")
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out.with_name(f".{out.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ExportError(f"{out}: another export is writing it; wait for it, or name another folder.") from None
    try:
        if replaced.exists() and not out.exists():  # a kill came between the two renames below
            os.replace(replaced, out)
        shutil.rmtree(replaced, ignore_errors=True)
        if _plan_of(temporary) != plan:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            (temporary / PLAN).write_text(plan, encoding="utf-8")
        report = dict(write(temporary))
        if not any(report["samples"].values()):
            shutil.rmtree(temporary)
            raise ExportError("There are no kept samples to export; `imgdiff stats` shows what was rejected and why.")
        marker = json.dumps({"made_by": MADE_BY, **report}, indent=1, ensure_ascii=False)
        (temporary / MARKER).write_text(marker + "\n", encoding="utf-8")
        (temporary / PLAN).unlink()
        if out.exists():
            os.replace(out, replaced)
        os.replace(temporary, out)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        # While it is held: whoever gets the lock then gets one that others can find.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
    return report


def partial_of(out: Path) -> Path:
    """Where the folder `out` is made until it is whole."""
    return out.with_name(f".{out.name}{PARTIAL}")


def whole_of(folder: Path) -> Path:
    """Where a folder will be when it is whole that is made at `folder`."""
    name = folder.name
    if not (name.startswith(".") and name.endswith(PARTIAL)):
        return folder
    return folder.with_name(name.removeprefix(".").removesuffix(PARTIAL))


def _check(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ExportError(f"{out}: is a file; name a folder with --out.")
    if out.is_dir() and any(out.iterdir()) and not is_export(out):
        raise ExportError(f"{out}: holds other files, which an export would remove; name a new or empty folder.")


def _plan_of(folder: Path) -> str | None:
    try:
        return (folder / PLAN).read_text(encoding="utf-8")
    except OSError:
        return None
