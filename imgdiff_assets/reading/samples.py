"""The kept samples of a shard, with the images they are about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.ledger.images import HASH_COLUMNS, ErasedImages, PairImages
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.kind import KIND_COLUMNS, UNKNOWN, kind_of
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.method.tasks import SIDES
from imgdiff_assets.reading.corrected import corrected, texts_of
from imgdiff_assets.reading.pairs import scan_pairs
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.reading.shown import ERASED, Shown, ShownImage, shown
from imgdiff_assets.stages.sample_items import ERASED_KIND, NUISANCE_KIND, SAME_KIND

SAMPLE_COLUMNS = (
    "sample_id",
    "region_id",
    "pair_id",
    "caption_id",
    "task",
    "first",
    "subject",
    "answer",
    "conversations",
    "split",
    "width",
    "height",
    *HASH_COLUMNS,
    "erased_from",
    "erased_hash",
)
REGION_COLUMNS = (
    "region_id",
    "source_object",
    "target_object",
    "source_region_caption",
    "target_region_caption",
)


class StaleSample(ImgDiffError, ValueError):
    """A sample whose images have been made anew since."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One kept row of `fine_tune_set`.

    `shown` says which images are shown of it and in which order, and `SampleImages` gives them; `first` is the side
    (`source` or `target`) that comes first. The box is xyxy in pixels of both images, None for a sample that is about
    no region. `kind` is that of the pair's difference, `same`, `nuisance` or `erased` of samples that are about none
    between two prompts. Objects and region captions are those of the pair's region, None for any other sample.
    `similarity` is the cosine of the pair's image vectors, None where it was not measured, or one image is an erased
    one.
    """

    sample_id: str
    region_id: str | None
    pair_id: str
    caption_id: str
    task: str
    first: str
    subject: str | None
    answer: str
    conversations: Sequence[dict[str, str]]
    split: str
    width: int
    height: int
    source_hash: str
    target_hash: str
    erased_from: str | None
    erased_hash: str | None
    kind: str
    box: tuple[float, float, float, float] | None
    source_object: str | None
    target_object: str | None
    source_region_caption: str | None
    target_region_caption: str | None
    similarity: float | None
    shown: Shown


class SampleImages:
    """The images that are shown of samples of one shard, each (H, W, 3) uint8."""

    def __init__(self, ledger: Ledger, shard: str) -> None:
        self.pairs = PairImages(ledger, shard)
        self._erased = ErasedImages(ledger, shard) if ledger.exists("removed_pairs", shard) else None

    def __call__(self, image: ShownImage) -> Pixels:
        if image.name == ERASED and self._erased is not None:
            return self._erased(image.row_id)[0]
        return self.pairs(image.row_id)[SIDES.index(image.name)]

    def encoded(self, image: ShownImage) -> dict[str, Any]:
        """The image as it lies in the ledger (`{"bytes", "path"}`)."""
        images = self._erased if image.name == ERASED and self._erased is not None else self.pairs
        return dict(images.encoded(image.row_id)[f"{image.name}_image"])

    def close(self) -> None:
        for images in (self.pairs, self._erased):
            if images is not None:
                images.close()


def read_samples(ledger: Ledger, shard: str, tasks: Sequence[str] | None = None) -> list[Sample]:
    """The kept samples of one shard (of all tasks, or of some), in the order of the table.

    Raises StaleSample when a sample is about other images than the ledger holds now, and DamagedTable.
    """
    where = pc.field("kept") if tasks is None else pc.field("kept") & pc.field("task").isin(list(tasks))
    rows = scan(ledger, "fine_tune_set", (*SAMPLE_COLUMNS, NUISANCE_KIND, *BOX_COLUMNS), where, [shard]).to_pylist()
    pairs = scan_pairs(ledger, "image_pairs", ("pair_id", *HASH_COLUMNS), pc.field("kept"), [shard]).to_pylist()
    drawn = {row["pair_id"]: row for row in pairs}
    scores = scan(ledger, "filtered_pairs", ("pair_id", "image_similarity"), None, [shard]).to_pydict()
    alike = dict(zip(scores["pair_id"], scores["image_similarity"], strict=True))
    erased: dict[str, str] = {}
    if any(row["erased_from"] for row in rows):
        regions = scan(ledger, "removed_pairs", ("region_id", "erased_hash"), pc.field("kept"), [shard]).to_pylist()
        erased = {row["region_id"]: row["erased_hash"] for row in regions}
    captions = scan(ledger, "captions", REGION_COLUMNS, pc.field("kept"), [shard]).to_pylist()
    described = {row["region_id"]: {name: row[name] for name in REGION_COLUMNS[1:]} for row in captions}
    for region_id, found in corrected(ledger, shard).items():
        texts = {name: text for name, text in texts_of(found).items() if name in REGION_COLUMNS}
        described |= {region_id: {**described[region_id], **texts}} if region_id in described else {}
    prompts = scan_pairs(ledger, "prompt_pairs", ("pair_id", *KIND_COLUMNS), pc.field("kept"), [shard]).to_pylist()
    kinds = {row["pair_id"]: kind_of(row) for row in prompts}
    samples = []
    for row in rows:
        pair: dict[str, Any] = drawn.get(row["pair_id"], {})
        of_region = row["region_id"] is not None and row["erased_from"] is None
        region = described.get(row["region_id"]) if of_region else dict.fromkeys(REGION_COLUMNS[1:])
        stale = any(row[name] is None or row[name] != pair.get(name) for name in HASH_COLUMNS)
        if stale or region is None or (row["erased_from"] and row["erased_hash"] != erased.get(row["region_id"])):
            raise StaleSample(
                f"{shard}: sample {row['sample_id']} is older than its images or captions; "
                f"`imgdiff run --shards {shard}` brings the tables in step."
            )
        box = None if row["x1"] is None else (row["x1"], row["y1"], row["x2"], row["y2"])
        values = {name: row[name] for name in SAMPLE_COLUMNS}
        similarity = None if row["erased_from"] else alike.get(row["pair_id"])
        kind = ERASED_KIND if row["erased_from"] else kinds.get(row["pair_id"], UNKNOWN)
        if row["region_id"] is None:
            kind = NUISANCE_KIND if row[NUISANCE_KIND] else SAME_KIND
        samples.append(Sample(**values, kind=kind, box=box, **region, similarity=similarity, shown=shown(row)))
    return samples
