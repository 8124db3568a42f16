"""Alembic's scripts of Dagster's databases, read once by a process.

Dagster asks Alembic what revision a database is of when it makes one: three databases for an instance, and one for
each run. Each time, and again for writing the answer, Alembic imports all of Dagster's fifty scripts, which do not
change while a process lives. That is two thirds of the making of an instance.
"""

from functools import wraps
from typing import Any

from dagster._core.storage.sql import ScriptDirectory  # type: ignore[attr-defined]


def read_revisions_once() -> None:
    """From now on, scripts of one folder that were read by this process are not read again."""
    read = ScriptDirectory.from_config
    if hasattr(read, "__wrapped__"):
        return
    known: dict[Any, ScriptDirectory] = {}

    @wraps(read)
    def from_config(config: Any) -> ScriptDirectory:
        place = (config.config_file_name, config.get_main_option("script_location"))
        if place not in known:
            known[place] = read(config)
        return known[place]

    ScriptDirectory.from_config = staticmethod(from_config)  # type: ignore[method-assign, assignment]
