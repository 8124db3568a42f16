"""The libraries that rows are measured with: another version may give other last bits."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("torch", "diffusers", "transformers", "open_clip_torch", "segment-anything", "numpy", "pillow")


@cache
def library_versions() -> dict[str, str]:
    """The version of Python and of each library that is installed."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions
