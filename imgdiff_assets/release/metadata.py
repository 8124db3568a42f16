"""What Dagster shows of a release."""

from typing import Any

import dagster as dg

from imgdiff_assets.release.making import CARD, Release


def metadata_of(release: Release) -> dict[str, Any]:
    """Numbers to plot over time, the folder, and the card itself."""
    return {
        "version": release.version,
        "made": release.made,
        "folder": dg.MetadataValue.path(str(release.folder)),
        "dagster/row_count": sum(release.samples.values()),
        **{f"{split}_samples": count for split, count in release.samples.items()},
        "shards": len(release.shards),
        "shards_not_fresh": len(release.not_fresh),
        "failed_rows": release.failed_rows,
        "changes": dg.MetadataValue.json(release.changed),
        "card": dg.MetadataValue.md((release.folder / CARD).read_text(encoding="utf-8").partition("\n---\n")[2]),
    }
