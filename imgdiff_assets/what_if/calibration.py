"""Thresholds for another encoder, from a sample: those that let as many pass as the ones before did.

An encoder's cosines have a scale of its own, so thresholds are carried over by shares: of the pairs and regions of the
sample, as many lie beyond the new threshold by the new encoder's cosines as lay beyond the old one by the old ones.
How far the two encoders rank the sample alike is told beside (Spearman's correlation): where they do not, no threshold
does what the old one did.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import PairImages
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.stage import IMAGE_ENCODER, IMAGE_TEXT_ENCODER
from resources.images.crops import cut

FEWEST = 20
"""Scores that thresholds are found from."""

Scores = npt.NDArray[np.float64]


class CannotCalibrate(ImgDiffError, ValueError):
    """A home in which there is too little to find thresholds from."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A threshold: what it was, what has the same share beyond it, of how many scores, and how alike they rank."""

    setting: str
    before: float
    proposed: float
    share_beyond: float
    scores: int
    rank_correlation: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds for the encoder of a role, and the sentence that says how they were found."""

    role: str
    model: str
    proposals: tuple[Proposal, ...]
    found: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """The thresholds with what they were, and the words that write them into a recipe."""
        lines = [f"{self.role} {self.model}:"]
        for each in self.proposals:
            lines.append(
                f"  {each.setting:<38} {each.before:7.4f} → {each.proposed:7.4f}  {each.share_beyond:6.1%} beyond, of "
                f"{each.scores:,}; ranked alike: {each.rank_correlation:.2f}"
            )
        values = [f"{each.setting}={each.proposed}" for each in self.proposals]
        values.append(f"{self.role}.calibration='{self.found}'")
        lines += ["", "To take them: imgdiff recipe copy --set " + " ".join(f'"{value}"' for value in values)]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A score of a stage that a threshold is on: `beyond` says on which side rows are rejected."""

    stage: str
    score: str
    columns: tuple[str, ...]
    limits: tuple[tuple[str, str], ...]


PAIRS = _Asked(
    "filtered_pairs", "image_similarity", ("pair_id",), (("min_similarity", "below"), ("max_similarity", "above"))
)
REGIONS = _Asked(
    "bounding_boxes", "region_similarity", ("pair_id", *BOX_COLUMNS), (("max_region_similarity", "above"),)
)
CAPTIONS = _Asked(
    "captions",
    "caption_similarity",
    ("source_region_caption", "target_region_caption"),
    (("max_caption_similarity", "above"),),
)


def calibrate(home: Home, recipe: Recipe, shards: Sequence[str], sample: int) -> Calibration:
    """Propose thresholds for the recipe's encoder from tables that another encoder measured.

    At most `sample` pairs and as many regions are encoded: those of the least ids, which are hashes. Raises
    CannotCalibrate.
    """
    role = IMAGE_ENCODER if recipe.models.image_encoder is not None else IMAGE_TEXT_ENCODER
    settings = recipe.role(role).model_copy(update={"calibration": "being found"})
    encoder = LoadedModels.shared({role: settings}).open(role)
    by: dict[_Asked, Callable[[str, Sequence[Row]], Any]] = {
        PAIRS: lambda shard, rows: _pictures(home, recipe, shard, rows, encoder, whole=True),
        REGIONS: lambda shard, rows: _pictures(home, recipe, shard, rows, encoder, whole=False),
    }
    if role == IMAGE_TEXT_ENCODER:
        by[CAPTIONS] = lambda shard, rows: encoder.encode_texts(
            [row[name] for row in rows for name in CAPTIONS.columns]
        )
    proposals, counts = list[Proposal](), dict[str, int]()
    for asked, encode in by.items():
        before, now = _scores(home, recipe, asked, shards, sample, encode)
        if len(before) < FEWEST:
            continue
        counts[asked.stage] = len(before)
        settings_then = _settings_then(home, asked.stage, shards)
        proposals += [_proposal(asked.stage, key, side, settings_then[key], before, now) for key, side in asked.limits]
    if not proposals:
        raise CannotCalibrate(
            f"Thresholds are found from at least {FEWEST} pairs that another encoder has measured: run the graph with "
            "a recipe whose encoder has thresholds first."
        )
    counted = " and ".join(f"{count} rows of {stage}" for stage, count in counts.items())
    return Calibration(role, settings.model, tuple(proposals), f"shares kept before, matched on {counted}")


def _scores(
    home: Home,
    recipe: Recipe,
    asked: _Asked,
    shards: Sequence[str],
    sample: int,
    encode: Callable[[str, Sequence[Row]], Any],
) -> tuple[Scores, Scores]:
    """The stored scores of a sample, and those by the new encoder."""
    ledger, id_column = Ledger(home.ledger), {"filtered_pairs": "pair_id"}.get(asked.stage, "region_id")
    columns = list(dict.fromkeys((id_column, asked.score, *asked.columns)))
    rows = scan(ledger, asked.stage, columns, pc.field(asked.score).is_valid(), shards).to_pylist()
    chosen = sorted(rows, key=lambda row: row[id_column])[:sample]
    before, now = list[float](), list[float]()
    for shard in sorted({row["shard"] for row in chosen}):
        own = [row for row in chosen if row["shard"] == shard]
        vectors = encode(shard, own)
        before += [row[asked.score] for row in own]
        now += np.sum(vectors[0::2] * vectors[1::2], axis=1).tolist()
    return np.array(before), np.array(now)


def _pictures(home: Home, recipe: Recipe, shard: str, rows: Sequence[Row], encoder: Any, whole: bool) -> Any:
    """Vectors of the two pictures of each row, or of the two cuts of its region."""
    padding, vectors = recipe.section("bounding_boxes").crop_padding, []
    with closing(PairImages(Ledger(home.ledger), shard)) as images:
        for row in rows:
            pair = images(row["pair_id"])
            box = [row[name] for name in BOX_COLUMNS] if not whole else []
            vectors.append(encoder.encode_images(list(pair) if whole else [cut(each, box, padding) for each in pair]))
    return np.concatenate(vectors)


def _settings_then(home: Home, stage: str, shards: Sequence[str]) -> dict[str, float]:
    """The thresholds that the tables were judged by; of several recipes, those of the last shard."""
    ledger = Ledger(home.ledger)
    records = [record for shard in shards if (record := ledger.record(stage, shard)) is not None]
    return dict(records[-1]["settings"])


def _proposal(stage: str, key: str, side: str, before: float, old: Scores, new: Scores) -> Proposal:
    """The quantile of the new scores that has the share beyond it that the old threshold had."""
    share = float(np.mean(old < before) if side == "below" else np.mean(old >= before))
    margin = 0.1 * float(np.ptp(new))
    if side == "below":
        proposed = float(np.quantile(new, share)) if share else float(new.min()) - margin
    else:
        proposed = float(np.quantile(new, 1 - share)) if share else float(new.max()) + margin
    return Proposal(
        f"{stage}.{key}", before, round(float(np.clip(proposed, -1, 1)), 4), share, len(old), _ranked_alike(old, new)
    )


def _ranked_alike(old: Scores, new: Scores) -> float:
    ranks = [np.argsort(np.argsort(scores, kind="stable"), kind="stable") for scores in (old, new)]
    return round(float(np.asarray(np.corrcoef(np.stack(ranks)))[0, 1]), 3)
