"""What a reviewer sees of a sample, told by the index alone: verdicts follow one another in a second or two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imgdiff_assets.browser.candidates import read_rows
from imgdiff_assets.browser.samples import MADE, SAMPLES
from imgdiff_assets.browser.site import Site
from imgdiff_assets.browser.story import Region
from imgdiff_assets.method.caption_edit import marked
from imgdiff_assets.method.tasks import SIDES
from imgdiff_assets.reading.shown import Shown, ShownImage


@dataclass(frozen=True, slots=True)
class Seen:
    """One sample; `row` is what the gallery has of it. The viewer shows it as it shows the story of a row."""

    row: Mapping[str, Any]
    shown: Shown
    drawn_regions: Sequence[Region] = ()

    @property
    def id(self) -> str:
        return str(self.row["id"])

    @property
    def images(self) -> Sequence[ShownImage]:
        return self.shown.images

    @property
    def region_id(self) -> str | None:
        region: str | None = self.row["region_id"]
        return region

    @property
    def is_of_region(self) -> bool:
        """Whether it is about a region in the pair's two images, and not about one that was erased."""
        return self.region_id is not None and not self.row["erased_from"]

    @property
    def pair(self) -> Mapping[str, Any] | None:
        """The size of the images, and their hashes by name; None where they were not made."""
        return self.row if self.row["pictured"] else None

    @property
    def texts(self) -> Mapping[str, Any] | None:
        """What each image shows of the region, by its name, with what differs marked; None where nobody says."""
        said = [self.row[f"{side}_region_caption"] for side in SIDES]
        if not self.is_of_region or not all(said):
            return None
        texts = dict(zip(SIDES, marked(*said), strict=True))
        return {image.name: texts[image.name] for image in self.images}


def seen_samples(site: Site, ids: Sequence[str]) -> dict[str, Seen]:
    """Those of the samples that can be reviewed, by id; without regions."""
    places = site.index.rows(
        f"SELECT t.shard, t.row FROM fine_tune_set AS t WHERE t.sample_id IN (SELECT unnest(?)) AND {MADE}",
        [list(ids)],
    )
    return {row["id"]: Seen(row, row["shown"]) for row in read_rows(site.index, SAMPLES, places, scored=False)}
