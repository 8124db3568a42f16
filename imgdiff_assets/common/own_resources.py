"""Another top-level package `resources` may hide ours on Python's path; that is said before either is imported."""

from importlib.util import find_spec
from pathlib import Path


class ForeignResources(ImportError):
    """`import resources` would find another package; the message says which, and what to do."""


def require_own_resources() -> None:
    """Raise ForeignResources unless `resources` is the package that came with this one. Imports nothing."""
    ours = Path(__file__).parents[2] / "resources" / "__init__.py"
    spec = find_spec("resources")
    found = Path(spec.origin) if spec is not None and spec.origin is not None else None
    if found is None:
        raise ForeignResources(
            f"The package `resources` is missing beside {Path(__file__).parents[1]}: install again."
        )
    if found.resolve() != ours.resolve():
        entry = found.parents[1] if found.name == "__init__.py" else found.parent
        raise ForeignResources(
            f"{found} hides the package `resources` of imgdiff-assets ({ours.parent}): start in a folder other than "
            f"{entry}, take it off PYTHONPATH, or rename that package."
        )
