"""Prompt pairs to image pairs: two images of one start noise, alike but for the replaced object."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, ValidationInfo, field_validator

from imgdiff_assets.common.aliases import Pixels, Row
from imgdiff_assets.common.hashing import seed_of
from imgdiff_assets.ledger.cells import IMAGE
from imgdiff_assets.ledger.images import encode_png, pixel_hash
from imgdiff_assets.method.kind import kind_asked
from imgdiff_assets.stages.best_of import ATTEMPTS, CHANGED, changes, scores
from imgdiff_assets.stages.settings import StageSettings, left_out
from imgdiff_assets.stages.stage import Above, Stage
from imgdiff_assets.stages.steps import Measurement, Work

PROMPT_COLUMNS = ("pair_id", "source_caption", "target_caption")
KIND = "asked_kind"


class ImagePairsSettings(StageSettings):
    """Prompt pairs to image pairs."""

    compression: int = Field(6, ge=0, le=9, description="Effort of the lossless PNG compression; no effect on pixels.")
    seed_by: Literal["pair", "caption"] = left_out(
        "pair",
        "What a pair's seed is a hash of. With `caption` all rewrites of one caption are drawn over one picture; what "
        "was drawn before keeps its seed.",
    )
    attempts: int = left_out(
        1,
        "Pairs drawn of each prompt pair, each of its own seed, of which the best is kept; of the others seed, "
        "settings and score stay.",
        ge=1,
        le=64,
    )
    best_by: Literal["direction", "fit"] = left_out(
        "direction",
        "The best: whose pictures change as the captions do (directional CLIP similarity), or whose pictures fit "
        "their captions.",
    )
    attempt_cross_replace_steps: list[float] = left_out(
        [], "One for each attempt, in turns, in place of the pair generator's `cross_replace_steps`."
    )
    attempt_self_replace_steps: list[float] = left_out([], "The same for its `self_replace_steps`.")
    attempt_guidance_scale: list[float] = left_out([], "The same for its `guidance_scale`.")

    @field_validator("attempt_cross_replace_steps", "attempt_self_replace_steps", "attempt_guidance_scale")
    @classmethod
    def _the_generator_takes_them(cls, values: list[float], info: ValidationInfo) -> list[float]:
        if any(value < 0 or (value > 1 and info.field_name != "attempt_guidance_scale") for value in values):
            raise ValueError("must be shares of the steps, 0 to 1; guidance, 0 or more")
        return values


def items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """Every prompt pair that has a target caption."""
    return tables["prompt_pairs"].select([*PROMPT_COLUMNS, KIND, "kept"]).filter(pc.field("target_caption").is_valid())


def generate(rows: Sequence[Row], work: Work) -> list[Row]:
    """Draw both images of each pair; the start noise is a function of the recipe's seed, the pair and the attempt."""
    drawn = [_draw(rows, work, attempt) for attempt in range(work.settings["attempts"])]
    if len(drawn) == 1:
        return drawn[0]
    told: list[Row] = []
    for tries in zip(*drawn, strict=True):
        best = max(tries, key=lambda row: row[ATTEMPTS.name][0]["score"])
        told.append({**best, ATTEMPTS.name: [row[ATTEMPTS.name][0] for row in tries]})
    return told


def _seed(row: Row, settings: Mapping[str, Any], *which: int) -> int:
    """Of an attempt; a row that tells its own seed, for it is drawn again, keeps to what that was a hash of."""

    def of(what: str, *attempt: int) -> int:
        identity = ("caption", row["source_caption"]) if what == "caption" else (row["pair_id"],)
        return seed_of(settings["seed"], "image_pair", *identity, *attempt)

    told, others = row.get("seed"), [what for what in ("pair", "caption") if what != settings["seed_by"]]
    attempts = [(), *((number,) for number in range(1, settings["attempts"]))]
    then = [what for what in others if told in [of(what, *attempt) for attempt in attempts]]
    return of(then[0] if then else settings["seed_by"], *which)


def _draw(rows: Sequence[Row], work: Work, attempt: int) -> list[Row]:
    """One attempt at each pair, scored where there are others."""
    settings, generator = work.settings, work.model("pair_generator")
    # The first attempt is what is drawn where there are no others.
    which = (attempt,) if attempt else ()
    seeds = [_seed(row, settings, *which) for row in rows]
    changed = changes(settings, attempt) if settings["attempts"] > 1 else {}
    captions = [row["source_caption"] for row in rows], [row["target_caption"] for row in rows]
    generator = generator.varied(**changed) if changed else generator
    turned = [kind_asked(row[KIND]).drawn_first != "source" for row in rows]
    firsts, seconds = generator.generate(*_turned(turned, *captions), seeds)
    sources, targets = _turned(turned, firsts, seconds)
    made = _cells(rows, seeds, sources, targets, settings["compression"])
    if settings["attempts"] > 1:
        best_by = settings["best_by"]
        scored = scores(work.model("image_text_encoder"), best_by, captions, (sources, targets))
        for row, score in zip(made, scored.tolist(), strict=True):
            known = {name: row[name] for name in ("seed", "source_hash", "target_hash")}
            row[ATTEMPTS.name] = [{**dict.fromkeys(CHANGED), **changed, **known, "score": score}]
    return made


def _turned(turned: Sequence[bool], ones: Sequence[Any], others: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Both columns, the values of the rows that are to be turned exchanged."""
    rows = [(other, one) if turn else (one, other) for turn, one, other in zip(turned, ones, others, strict=True)]
    return [one for one, _ in rows], [other for _, other in rows]


def _cells(
    rows: Sequence[Row], seeds: Sequence[int], sources: Sequence[Pixels], targets: Sequence[Pixels], compression: int
) -> list[Row]:
    return [
        {
            "seed": seed,
            "width": source.shape[1],
            "height": source.shape[0],
            "source_hash": pixel_hash(source),
            "target_hash": pixel_hash(target),
            "source_image": {"bytes": encode_png(source, compression), "path": f"{row['pair_id']}_source.png"},
            "target_image": {"bytes": encode_png(target, compression), "path": f"{row['pair_id']}_target.png"},
            ATTEMPTS.name: None,
        }
        for row, seed, source, target in zip(rows, seeds, sources, targets, strict=True)
    ]


def contents(row: Mapping[str, Any]) -> list[str]:
    """Size and seed."""
    if row["width"] is None:
        return []
    seed = "given" if row["seed"] is None else f"seed {row['seed']}"
    return [f"{row['width']} × {row['height']} pixels, {seed}"]


STAGE = Stage(
    name="image_pairs",
    id_column="pair_id",
    parents=("prompt_pairs",),
    above=(Above("prompt_pairs", "pair_id"),),
    section=ImagePairsSettings,
    description=__doc__,
    item_columns=tuple(pa.field(name, pa.string()) for name in (*PROMPT_COLUMNS, KIND)),
    items=items,
    contents=contents,
    steps=(
        Measurement(
            name="generate",
            columns=(
                pa.field("seed", pa.int64()),
                pa.field("width", pa.int32()),
                pa.field("height", pa.int32()),
                pa.field("source_hash", pa.string()),
                pa.field("target_hash", pa.string()),
                pa.field("source_image", IMAGE),
                pa.field("target_image", IMAGE),
                ATTEMPTS,
            ),
            inputs=PROMPT_COLUMNS,
            later_inputs=(KIND,),
            run=generate,
            settings=("seed", "attempts", "best_by", *(f"attempt_{name}" for name in CHANGED)),
            # So that what was drawn before stays; a row tells its own seed.
            indifferent=("compression", "seed_by"),
            told=("seed",),
            roles=("pair_generator",),
            more_roles={"attempts": ("image_text_encoder",)},
        ),
    ),
)
