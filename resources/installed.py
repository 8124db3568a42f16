"""What installed packages offer: parts that a recipe can name, found by Python's entry points.

A package names its part in its own metadata, as in `[project.entry-points."imgdiff_assets.filters"]`. Only what is
installed counts: no recipe and no run's configuration names a module to be imported.
"""

import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

from resources.errors import ExpectedError

GROUPS = {
    "imgdiff_assets.filters": "filters",
    "imgdiff_assets.stages": "stages",
    "imgdiff_assets.tasks": "tasks",
    "imgdiff_assets.questions": "questions",
    "imgdiff_assets.export_formats": "export formats",
    "imgdiff_assets.backends": "backends",
}
"""The groups of entry points, and what their parts are called."""


class BrokenPart(ExpectedError, ImportError):
    """An installed part that cannot be used; the message names its package and says what to do."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One part, with the name it goes by in recipes and the package that brings it."""

    name: str
    part: Any
    package: str
    package_version: str

    def broken(self, why: str) -> BrokenPart:
        """The error of a part that is not what it should be; `why` is a clause."""
        return BrokenPart(
            f"{self.package} {self.package_version} offers {self.name!r}, but {why}: mend or uninstall it."
        )


@cache
def offers(group: str) -> dict[str, Offer]:
    """All parts of a group, by name, in the order of their names. Raises BrokenPart."""
    found: dict[str, Offer] = {}
    for point in sorted(_entry_points(tuple(sys.path)).select(group=group), key=lambda point: point.name):
        package = point.dist.name if point.dist is not None else "an unknown package"
        if point.name in found:
            raise BrokenPart(
                f"{found[point.name].package} and {package} both offer {point.name!r} among the {GROUPS[group]}: "
                "uninstall one of them."
            )
        try:
            part = point.load()
        except Exception as error:
            raise BrokenPart(
                f"{package} offers {point.name!r} among the {GROUPS[group]}, but {point.value} cannot be imported "
                f"({type(error).__name__}: {error}): mend or uninstall it."
            ) from error
        found[point.name] = Offer(point.name, part, package, point.dist.version if point.dist is not None else "")
    return found


@cache
def _entry_points(path: tuple[str, ...]) -> Any:
    """Of all packages on the path: looked for once, for it takes as long as importing some of them."""
    return metadata.entry_points()
