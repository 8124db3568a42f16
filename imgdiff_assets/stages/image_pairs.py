"""Prompt pairs to image pairs: two images of one start noise, alike but for the replaced object.

Where a recipe says so (`method`), an editing model makes the second image of the first, or each is drawn by itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, ValidationInfo, field_validator

from imgdiff_assets.common.aliases import Pixels, Row
from imgdiff_assets.common.hashing import seed_of
from imgdiff_assets.common.tables import rows_of
from imgdiff_assets.ledger.cells import IMAGE
from imgdiff_assets.ledger.images import encode_png, pixel_hash
from imgdiff_assets.method.kind import KIND_COLUMNS, kind_named
from imgdiff_assets.stages.best_of import ATTEMPTS, CHANGED, changes, scores
from imgdiff_assets.stages.instructions import INSTRUCTION
from imgdiff_assets.stages.pair_methods import (
    EDIT,
    LAID_BACK,
    METHOD,
    METHODS,
    PROMPT_TO_PROMPT,
    WAYS,
    make_pairs,
    method_of,
    methods_of,
)
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
    method: Literal["prompt_to_prompt", "edit", "text_pair"] = left_out(
        PROMPT_TO_PROMPT,
        "How a pair is made: two images of one noise under Prompt-to-Prompt; an image and what the editor makes of it "
        "as the instruction says (`prompt_pairs.instructions`); or two images of one noise, each of its own caption.",
    )
    kind_methods: dict[str, str] = left_out(
        {}, "How pairs of a kind are made, in place of `method`, as in `{attribute_changed: edit}`."
    )
    lay_back: int = left_out(
        0,
        "An edit is laid back onto its source where they differ by less than this, of 255 in any channel (24 is a "
        "beginning), so that nothing but the change is the editor's; 0 leaves the whole image to the editor.",
        ge=0,
        le=255,
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

    @field_validator("kind_methods")
    @classmethod
    def _kinds_and_methods_exist(cls, methods: dict[str, str]) -> dict[str, str]:
        if unknown := [method for method in methods.values() if method not in METHODS]:
            raise ValueError(f"there is no method {unknown[0]!r}; there are {', '.join(METHODS)}")
        for name in methods:
            try:
                kind_named(name)
            except LookupError as error:
                raise ValueError(str(error)) from None
        return methods

    @property
    def other_methods(self) -> bool:
        """Whether pairs are made otherwise than by Prompt-to-Prompt."""
        return methods_of(self) != {PROMPT_TO_PROMPT}

    @property
    def edits(self) -> bool:
        """Whether an editor makes any."""
        return EDIT in methods_of(self)

    @property
    def lays_back(self) -> bool:
        return self.edits and self.lay_back > 0


def items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """Every prompt pair that has a target caption, and where a recipe has several methods, its own."""
    prompts = tables["prompt_pairs"].filter(pc.field("target_caption").is_valid())
    rows = prompts.select([*PROMPT_COLUMNS, KIND, "kept"])
    methods = [method_of(row, settings) for row in rows_of(prompts, KIND_COLUMNS)]
    if any(methods):
        edits = pa.array([method == EDIT for method in methods])
        rows = rows.append_column(METHOD, pa.array(methods, METHOD.type))
        if INSTRUCTION.name in prompts.column_names:
            told = pc.if_else(edits, prompts[INSTRUCTION.name], None)
            rows = rows.append_column(INSTRUCTION, told)
        if settings["lay_back"]:
            rows = rows.append_column(LAID_BACK, pc.if_else(edits, settings["lay_back"], None).cast(LAID_BACK.type))
    return rows


def given_items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """Every given pair, which nothing here made."""
    return tables["prompt_pairs"].select([*PROMPT_COLUMNS, KIND, "kept"]).filter(pc.field("target_caption").is_valid())


def generate(rows: Sequence[Row], work: Work) -> list[Row]:
    """Make both images of each pair; the start noise is a function of the recipe's seed, the pair and the attempt."""
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
    settings = work.settings
    # The first attempt is what is drawn where there are no others.
    which = (attempt,) if attempt else ()
    seeds = [_seed(row, settings, *which) for row in rows]
    changed = changes(settings, attempt) if settings["attempts"] > 1 else {}
    sources, targets = make_pairs(rows, seeds, work, changed)
    made = _cells(rows, seeds, sources, targets, settings["compression"])
    if settings["attempts"] > 1:
        best_by = settings["best_by"]
        captions = [row["source_caption"] for row in rows], [row["target_caption"] for row in rows]
        scored = scores(work.model("image_text_encoder"), best_by, captions, (sources, targets))
        for row, score in zip(made, scored.tolist(), strict=True):
            known = {name: row[name] for name in ("seed", "source_hash", "target_hash")}
            row[ATTEMPTS.name] = [{**dict.fromkeys(CHANGED), **changed, **known, "score": score}]
    return made


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
    """Size and seed, and how the pair was made where it was not by Prompt-to-Prompt."""
    if row["width"] is None:
        return []
    seed = "given" if row["seed"] is None else f"seed {row['seed']}"
    method, told, laid = (row.get(column.name) for column in (METHOD, INSTRUCTION, LAID_BACK))
    return [
        f"{row['width']} × {row['height']} pixels, {seed}",
        f"made by {method}" + (f": {told}" if told else "") if method else "",
        f"the source's own pixels wherever the edit differs by less than {laid} of 255" if laid else "",
    ]


STAGE = Stage(
    name="image_pairs",
    id_column="pair_id",
    parents=("prompt_pairs",),
    above=(Above("prompt_pairs", "pair_id"),),
    section=ImagePairsSettings,
    description=__doc__,
    item_columns=(*(pa.field(name, pa.string()) for name in (*PROMPT_COLUMNS, KIND)), METHOD, INSTRUCTION, LAID_BACK),
    items=items,
    item_settings=("method", "kind_methods", "lay_back"),
    columns_with={
        "other_methods": (METHOD.name,),
        "edits": (INSTRUCTION.name,),
        "lays_back": (LAID_BACK.name,),
    },
    roles_of_pictures=("editor",),
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
            later_inputs=(KIND, METHOD.name, INSTRUCTION.name, LAID_BACK.name),
            run=generate,
            settings=("seed", "attempts", "best_by", *(f"attempt_{name}" for name in CHANGED)),
            # So that what was drawn before stays; a row tells its own seed.
            indifferent=("compression", "seed_by"),
            told=("seed",),
            roles=("pair_generator",),
            more_roles={"attempts": ("image_text_encoder",)},
            ways=WAYS,
        ),
    ),
)
