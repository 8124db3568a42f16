"""The stages up to `captions` against Data-Juicer's operators: same weights and precision, images, proposals, steps.

Our side is all of a stage: reading the ledger, decoding the images, measuring, judging, committing the table. Theirs
is the operator's own call, pair by pair, without the framework around it (see `data_juicer_worker` for what is
bridged). Their area operator judges the pair as a whole, too, as our `filtered_pairs` does, so both are in the clock.
Ours does not measure `mismatch`, which no operator of theirs does. The captioner is a LLaVA with random weights whose
answers all have the same length. Where encoder and matcher have random weights, too, limits are set so that they leave
the shares of the regions that the trained miniature's leave, and boxes are drawn at random places, so many that a pair
has about three in the end, as the published pairs have (3.06): base, whose scores lie close together, has five.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import quality
from benchmarks.speed import peer
from benchmarks.speed.random_models import BASE, SMALL, Sizes
from benchmarks.speed.regions import resized
from benchmarks.speed.timing import Figure, clock, ratio, seconds
from benchmarks.speed.whole import save_models
from benchmarks.stage_runs import ROLES, open_models
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from resources.loading import weights
from resources.segmenter import Segmenter

FRAME = 16
"""Pixels added around a scene: their caption operator leaves out boxes of more than a tenth of the image."""

CELLS = 4
"""Drawn boxes lie in cells of a grid of 4 × 4, each in its own: their caption operator leaves out larger ones."""

TINT = 60
"""By how much the colours of a cell are moved at most, that no two of these boxes look as much alike as others do."""

DIFFERENT, SEEN = 0.5, 0.3
"""Of the miniature's regions, those whose crops differ, and those that show their objects on both sides."""

ROUNDING = 1e-4
"""By which cosines of the two sides may differ."""

AREA_STAGES = ("filtered_pairs", "bounding_boxes")
REGION = "Describe the object inside the box [{x1:.2f}, {y1:.2f}, {x2:.2f}, {y2:.2f}]."
DIFFERENCE = (
    "In the red box the left one shows: {source_caption} The right one shows: {target_caption} How do they differ?"
)
CORNERS = {"x1": 0.0, "y1": 0.0, "x2": 1.0, "y2": 1.0}


def as_long(question: str, characters: int, **filled: Any) -> str:
    """The question made longer, until it has so many characters once it is filled in."""
    return question + "." * (characters - len(question.format(**filled)))


OVERRIDES = (
    "bounding_boxes.match_score=itm",
    "bounding_boxes.max_boxes=1000",
    "bounding_boxes.crop_padding=0",
    "captions.crop_padding=0",
    "captions.region_view=full",
    "captions.difference_view=side_by_side",
    f"captions.region_question={as_long(REGION, peer.REGION_PROMPT, **CORNERS)!r}",
    "captions.difference_question="
    f"{as_long(DIFFERENCE, peer.DIFFERENCE_PROMPT, source_caption='', target_caption='')!r}",
    # Random answers must go all the way on both sides.
    "captions.min_match=-1",
    "captions.min_agreement=0",
    # Nothing reads how well a caption fits the other image.
    "fine_tune_set.tasks=[difference]",
)


@dataclass(frozen=True, slots=True)
class Work:
    """Pairs whose scenes are enlarged, and the models: the miniature's with a small captioner, or random ones.

    An image of random ones' has `drawn` boxes.
    """

    name: str
    sizes: Sizes
    pairs: int
    enlarged: int
    answer_tokens: int
    drawn: int = 0

    @property
    def trained(self) -> bool:
        return not self.drawn

    @property
    def side(self) -> int:
        return (64 + 2 * FRAME) * self.enlarged

    def overrides(self, models: Mapping[str, Path]) -> list[str]:
        named = [f"captioner.model={models['captioner']}", f"captioner.max_new_tokens={self.answer_tokens}"]
        if not self.trained:
            named += [f"image_text_encoder.model={models['encoder']}", f"image_text_matcher.model={models['matcher']}"]
        return [*OVERRIDES, *named]


WORKS = {
    work.name: work
    for work in (
        Work("miniature", SMALL, pairs=12, enlarged=1, answer_tokens=12),
        Work("small", SMALL, pairs=4, enlarged=4, answer_tokens=32, drawn=5),
        Work("base", BASE, pairs=1, enlarged=8, answer_tokens=64, drawn=5),
    )
}


class GivenProposals:
    """In place of a segmenter: boxes that were found before, so that both sides have them at no cost."""

    def __init__(self, found: Mapping[bytes, tuple[np.ndarray, np.ndarray]]) -> None:
        self._found = found

    def propose(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [self._found[image.tobytes()] for image in images]


def measure(work: Work, kept_models: Path, rounds: int, environment: Path) -> list[Figure]:
    """All stages over drawn pairs, in turns with the operators that run in `environment`.

    Models with random weights are kept in `kept_models`.
    """
    roles = ("captioner",) if work.trained else ("encoder", "matcher", "captioner")
    saved = save_models(kept_models, work.sizes, roles)
    recipe = load_recipe("miniature", work.overrides(saved))
    pairs = draw_pairs(work.pairs)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        found = propose_and_enlarge(recipe, pairs, work.enlarged, work.drawn)
        ids = quality.write_parents(home, pairs)
        models = with_given_proposals(recipe, found)
        if not work.trained:
            recipe = _with_shares_left(recipe, home, models)
        # Beyond what a recipe may say: words that the encoder does not know are all the same to it.
        captions = recipe.captions.model_copy(update={"max_caption_similarity": 2.0})
        recipe = recipe.model_copy(update={"captions": captions})
        _materialise(AREA_STAGES, home, recipe, models)
        job = _job(Path(folder), home, recipe, dict(zip(ids, pairs, strict=True)), found, work)
        times: dict[str, list[float]] = {name: [] for name in ("areas", "captions", "our areas", "our captions")}
        answers: dict[str, dict[str, Any]] = {}
        with peer.worker(environment, job) as ask:
            for number in range(rounds + 1):
                for ours, theirs in ((AREA_STAGES, "areas"), (("captions",), "captions")):
                    answers[theirs] = ask(theirs)
                    spent = _materialise(ours, home, recipe, models)
                    if number:
                        times[theirs].append(answers[theirs]["seconds"])
                        times[f"our {theirs}"].append(spent)
        return _figures(work, home, times, answers)


def _figures(
    work: Work, home: Home, times: Mapping[str, list[float]], answers: Mapping[str, Mapping[str, Any]]
) -> list[Figure]:
    boxes = Ledger(home.ledger).read("bounding_boxes", quality.SHARD).to_pylist()
    matched = sum(row["source_match_itm"] is not None for row in boxes)
    captions = Ledger(home.ledger).read("captions", quality.SHARD).to_pylist()
    told = sum(bool(row["difference_caption"]) for row in captions)
    kept = {name: sum(any(box) for found in answer["found"] for box in found) for name, answer in answers.items()}
    areas = (
        f"{len(boxes)} proposals given to both; our matcher is asked about {matched}; "
        f"we keep {sum(row['kept'] for row in boxes)} boxes, they {kept['areas']}"
    )
    told_captions = (
        f"the same boxes given to both; we tell {told} differences, they {kept['captions']}, in {work.answer_tokens} "
        "tokens each"
    )
    whole, our_whole = (
        [a + b for a, b in zip(times[f"{side}areas"], times[f"{side}captions"], strict=True)] for side in ("", "our ")
    )
    threads = torch.get_num_threads()
    size = f"{work.name}, {work.pairs} pairs of {work.side}², {threads} thread{'s' if threads > 1 else ''}"
    return [
        ratio(
            f"area operator / {' and '.join(AREA_STAGES)}, {size}", times["areas"], times["our areas"], "≥ 2", areas
        ),
        ratio(f"caption operator / captions, {size}", times["captions"], times["our captions"], "≥ 2", told_captions),
        ratio(f"both operators / our stages, {size}", whole, our_whole, "≥ 2"),
        seconds(f"our stages, a pair, {size}", [time / work.pairs for time in our_whole]),
    ]


def draw_pairs(count: int) -> list[quality.DrawnPair]:
    """Drawn pairs whose claim names things of one word: of two, their operator asks about each."""
    drawn = quality.draw_pairs(4 * count, seed=0)
    short = [pair for pair in drawn if not any(" " in (name or "") for name in pair.claim)]
    return [short[place] for place in np.linspace(0, len(short) - 1, count).astype(int)]


def propose_and_enlarge(
    recipe: Recipe, pairs: Sequence[quality.DrawnPair], enlarged: int, drawn: int = 0
) -> dict[bytes, Any]:
    """Proposals by the pixels of their image, or so many drawn ones; the pairs' images are framed and enlarged."""
    segmenter = Segmenter(recipe.models.segmenter)
    found = {}
    for number, pair in enumerate(pairs):
        chance = np.random.default_rng(number)
        cells = chance.permutation(CELLS**2)
        for place, scene in enumerate(pair.scenes):
            ((boxes, scores),) = segmenter.propose([scene.image])
            framed = np.pad(scene.image, ((FRAME, FRAME), (FRAME, FRAME), (0, 0)), mode="edge")
            boxes = boxes + FRAME
            if drawn:
                corner = np.stack(np.divmod(cells[place::2][:drawn], CELLS), 1) * len(framed) / CELLS
                boxes, scores = np.hstack([corner + 1, corner + len(framed) / CELLS - 1]), np.ones(drawn, np.float32)
                tints = chance.integers(-TINT, TINT, (CELLS, CELLS, 3))
                tints = np.kron(tints, np.ones((len(framed) // CELLS, len(framed) // CELLS, 1)))
                framed = np.clip(framed + tints, 0, 255).astype(np.uint8)
            scene.image = resized(framed, enlarged * len(framed)) if enlarged > 1 else framed
            found[scene.image.tobytes()] = (boxes * enlarged, scores)
    return found


def with_given_proposals(recipe: Recipe, found: Mapping[bytes, Any]) -> LoadedModels:
    models = open_models(recipe)
    given = GivenProposals(found)
    roles = [role for role in ROLES if role in recipe.roles]
    settings = {role: models.settings(role) for role in roles}
    openers = {role: partial(models.open, role) for role in roles}
    return LoadedModels(settings, {**openers, "segmenter": lambda: given})


def _with_shares_left(recipe: Recipe, home: Home, models: LoadedModels) -> Recipe:
    """The recipe with limits by which the regions are left that would be left of trained models' scores."""
    wide = ("filtered_pairs.max_similarity=1", "filtered_pairs.min_similarity=-1", "bounding_boxes.min_match=0")
    recipe = override_recipe(recipe, [*wide, "bounding_boxes.max_region_similarity=1"])
    _materialise(AREA_STAGES, home, recipe, models)
    rows = [row for row in Ledger(home.ledger).read("bounding_boxes", quality.SHARD).to_pylist() if row["found_in"]]
    most = np.quantile([row["region_similarity"] for row in rows], DIFFERENT)
    matches = [
        min(row["source_match_itm"], row["target_match_itm"]) for row in rows if row["region_similarity"] < most
    ]
    limits = {"max_region_similarity": most, "min_match": np.quantile(matches, 1 - SEEN / DIFFERENT)}
    return override_recipe(recipe, [f"bounding_boxes.{name}={value:.8f}" for name, value in limits.items()])


def _materialise(names: Sequence[str], home: Home, recipe: Recipe, models: LoadedModels) -> float:
    """Make the tables of stages anew, and return the seconds it took."""
    ledger = Ledger(home.ledger)
    for name in names:
        ledger.table_path(name, quality.SHARD).unlink(missing_ok=True)
    started = clock()
    for name in names:
        stage = stage_named(name)
        materialize(stage, quality.SHARD, read_inputs(stage, home, quality.SHARD), recipe, ledger, models, "speed")
    return clock() - started


def _job(
    folder: Path,
    home: Home,
    recipe: Recipe,
    pairs: Mapping[str, quality.DrawnPair],
    found: Mapping[bytes, Any],
    work: Work,
) -> Path:
    kept: dict[str, list[list[float]]] = {identity: [] for identity in pairs}
    for row in Ledger(home.ledger).read("bounding_boxes", quality.SHARD).to_pylist():
        if row["kept"]:
            kept[row["pair_id"]].append([row[corner] for corner in CORNERS])
    roles = ("image_text_encoder", "image_text_matcher", "captioner")
    theirs = peer.save_models(folder, *(weights.locate(recipe.roles[role].model) for role in roles))
    pairs_limits, boxes = recipe.filtered_pairs, recipe.bounding_boxes
    limits = {
        "min_pair_similarity": pairs_limits.min_similarity - ROUNDING,
        "max_pair_similarity": pairs_limits.max_similarity + ROUNDING,
        "max_region_similarity": boxes.max_region_similarity,
        "min_match": boxes.min_match,
        "max_new_tokens": work.answer_tokens,
    }
    job = {"models": theirs, "limits": limits, "threads": torch.get_num_threads()}
    return peer.write_job(folder, pairs, found, kept, job)
