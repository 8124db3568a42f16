"""Which releases hold what came of some captions."""

from collections.abc import Collection

from imgdiff_assets.home import Home
from imgdiff_assets.release.contents import read_contents
from imgdiff_assets.release.versions import releases


def holding(home: Home, captions: Collection[str]) -> dict[str, int]:
    """By version, how many samples of these captions or given pairs each release of this machine holds.

    Raises OSError, BrokenRelease.
    """
    counts = {
        folder.name: sum(sample["caption_id"] in captions for sample in read_contents(folder).samples)
        for folder in releases(home)
    }
    return {version: count for version, count in counts.items() if count}
