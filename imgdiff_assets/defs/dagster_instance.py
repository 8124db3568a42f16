"""The Dagster instance of a home: where its runs, events and schedules are kept."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import DBAPIError

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.defs.events_together import write_together
from imgdiff_assets.defs.instance_files import SETTINGS, dagster_folder
from imgdiff_assets.defs.revisions_once import read_revisions_once
from imgdiff_assets.home import Home

DAGSTER_YAML = Path(__file__).parents[1] / "data" / SETTINGS


class DatabaseUnusable(ImgDiffError, OSError):
    """Dagster's database, which cannot be read or written: it is damaged, locked, or its disk is full."""


class SettingsUnusable(ImgDiffError, ValueError):
    """A `dagster.yaml` that Dagster cannot begin with."""


@contextmanager
def dagster_instance(home: Home) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of this home; made when missing. Raises DatabaseUnusable."""
    home.create()
    folder = dagster_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / SETTINGS).exists():
        shutil.copyfile(DAGSTER_YAML, folder / SETTINGS)
    read_revisions_once()
    try:
        with _opened(folder) as instance:
            write_together(instance)
            yield instance
    except DBAPIError as error:
        raise DatabaseUnusable(
            f"{folder}: Dagster's database cannot be used ({error.orig}); make room there or point IMGDIFF_HOME "
            "elsewhere, and run again: every batch that was measured is kept."
        ) from error


def _opened(folder: Path) -> dg.DagsterInstance:
    try:
        return dg.DagsterInstance.from_config(str(folder))
    except DBAPIError:
        raise
    except Exception as error:  # of a damaged file YAML, Dagster and what it names raise anything
        reason = " ".join(str(error).split())
        raise SettingsUnusable(
            f"{folder / SETTINGS}: Dagster cannot begin with it ({reason}); mend it, or move it away: a new "
            "one is written."
        ) from error
