"""Verifying a whole home: the ledger's part, the catalog, which is made anew, and Dagster's own files."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from imgdiff_assets.common.aliases import Say
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.defs.catalog_index import rebuild
from imgdiff_assets.defs.dagster_instance import SettingsUnusable, dagster_instance
from imgdiff_assets.defs.instance_files import dagster_folder
from imgdiff_assets.engine.verifying import Verified, Verifying
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.aside import set_aside
from resources.catalog import TABLES, Catalog, CatalogDamaged

MADE_ANEW = "it is made anew when it is needed, for the ledger has everything"


def verify_home(home: Home, rate: float | None = None, add: bool = False, log: Say = lambda text: None) -> Verified:
    """Look at every file of a home that something depends on; what is damaged is set aside or restored.

    `rate` bounds the bytes that are read in a second; with `add`, files of before are given checksums.
    """
    look = Verifying(home, rate, add, log)
    look.home()
    if home.catalog.exists():
        try:
            for name in TABLES:
                Catalog(home.catalog).query(f"SELECT * FROM {name}")
        except CatalogDamaged as error:
            look.find(home.catalog, str(error), f"made anew, with {counted(rebuild(home), 'materialisation')}")
    folder = dagster_folder(home)
    for database in sorted(folder.rglob("*.db")):
        try:
            _check(database)
        except sqlite3.DatabaseError as error:
            look.find(database, str(error), f"moved to {set_aside(database).name}; {MADE_ANEW}")
    settings = folder / "dagster.yaml"
    if settings.exists():
        try:
            with dagster_instance(home):
                pass
        except SettingsUnusable as error:
            look.find(settings, str(error), f"moved to {set_aside(settings).name}; {MADE_ANEW}")
    return look.result


def _check(database: Path) -> None:
    with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as connection:
        (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if said != "ok":
        raise sqlite3.DatabaseError(said)
