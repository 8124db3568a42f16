"""The stages `bounding_boxes` and `captions` against Data-Juicer's operators: same weights, images and proposals.

Our side is all of a stage: reading the ledger, decoding the images, measuring, judging, committing the table. Theirs
is the operator's own call, pair by pair, without the framework around it (see `data_juicer_worker` for what is
bridged). The captioner is a small LLaVA with random weights whose answers all have the same length; encoder and
matcher are the miniature ones.
"""

import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

from benchmarks import quality
from benchmarks.speed.clip_format import save_for_transformers
from benchmarks.speed.timing import Figure, clock, ratio, seconds
from benchmarks.stage_runs import ROLES, open_models
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from resources.image_text_encoder import ImageTextEncoder
from resources.loading import weights
from resources.miniature.scenes import OBJECTS
from resources.segmenter import Segmenter

PACKAGES = (
    "torch=={torch}",
    "torchvision=={torchvision}",
    "transformers=={transformers}",
    "py-data-juicer==1.6.1",
    "aiohttp",  # 1.6.1 needs it and does not say so
    "opencv-contrib-python-headless",
    "nltk",
)
WORKER = Path(__file__).parent / "data_juicer_worker.py"
ANSWER_TOKENS = 12
FRAME = 16
"""Pixels added around a scene: their caption operator leaves out boxes of more than a tenth of the image."""

LIMITS = {"max_region_similarity": 0.85, "min_match": 0.4, "max_new_tokens": ANSWER_TOKENS}
OVERRIDES = (
    "bounding_boxes.match_score=itm",
    "bounding_boxes.max_boxes=1000",
    "bounding_boxes.crop_padding=0",
    "captions.region_view=full",
    "captions.difference_view=side_by_side",
    "captions.region_question='Describe the object inside the box [{x1:.2f}, {y1:.2f}, {x2:.2f}, {y2:.2f}].'",
    "captions.difference_question='In the red box the left one shows: {source_caption} The right one shows: "
    "{target_caption} How do they differ?'",
    # Random answers must go all the way on both sides.
    "captions.min_match=-1",
    "captions.min_agreement=0",
    f"captioner.max_new_tokens={ANSWER_TOKENS}",
)


class GivenProposals:
    """In place of a segmenter: boxes that were found before, so that both sides have them at no cost."""

    def __init__(self, found: Mapping[bytes, tuple[np.ndarray, np.ndarray]]) -> None:
        self._found = found

    def propose(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [self._found[image.tobytes()] for image in images]


def measure(captioner: Path, count: int, rounds: int, environment: Path) -> list[Figure]:
    """Both stages over `count` drawn pairs, in turns with the operators that run in `environment`."""
    overrides = [*OVERRIDES, f"captioner.model={captioner}"]
    recipe = load_recipe("miniature", overrides)
    # Beyond what a recipe may say: words that the encoder does not know are all the same to it.
    captions = recipe.captions.model_copy(update={"max_caption_similarity": 2.0})
    recipe = recipe.model_copy(update={"captions": captions})
    pairs = quality.draw_pairs(count, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        found = _propose_and_frame(recipe, pairs)
        ids = quality.write_parents(home, pairs)
        models = _with_given_proposals(recipe, found)
        times: dict[str, list[float]] = {name: [] for name in ("areas", "captions", "our areas", "our captions")}
        _materialise("filtered_pairs", home, recipe, models)
        _materialise("bounding_boxes", home, recipe, models)
        job = _job(Path(folder), home, dict(zip(ids, pairs, strict=True)), found, captioner)
        kept_by_them: dict[str, int] = {}
        with _worker(environment, job) as ask:
            for number in range(rounds + 1):
                for ours, theirs in (("bounding_boxes", "areas"), ("captions", "captions")):
                    answer = ask(theirs)
                    spent = _materialise(ours, home, recipe, models)
                    if number:
                        times[theirs].append(answer["seconds"])
                        times[f"our {theirs}"].append(spent)
                    kept_by_them[theirs] = sum(any(box) for boxes in answer["found"] for box in boxes)
        ledger = Ledger(home.ledger)
        kept = ledger.read("bounding_boxes", quality.SHARD)["kept"].to_pylist()
        told = sum(map(bool, ledger.read("captions", quality.SHARD)["difference_caption"].to_pylist()))
        note = f"{len(kept)} proposals given to both; we keep {sum(kept)} boxes, they {kept_by_them['areas']}"
    whole = [a + b for a, b in zip(times["areas"], times["captions"], strict=True)]
    our_whole = [a + b for a, b in zip(times["our areas"], times["our captions"], strict=True)]
    size = f"{count} pairs of {64 + 2 * FRAME}²"
    return [
        ratio(
            f"area operator / bounding_boxes without proposals, {size}", times["areas"], times["our areas"], note=note
        ),
        ratio(
            f"caption operator / captions, {size}",
            times["captions"],
            times["our captions"],
            note=f"the same boxes given to both; we tell {told} differences, they {kept_by_them['captions']}",
        ),
        ratio(f"both operators / both stages, {size}", whole, our_whole),
        seconds(f"both stages, a pair, {size}", [time / count for time in our_whole]),
    ]


def _propose_and_frame(recipe: Recipe, pairs: Sequence[quality.DrawnPair]) -> dict[bytes, Any]:
    """Proposals by the pixels of their image, and the pairs' images framed."""
    segmenter = Segmenter(recipe.models.segmenter)
    found = {}
    for pair in pairs:
        for scene in pair.scenes:
            ((boxes, scores),) = segmenter.propose([scene.image])
            scene.image = np.pad(scene.image, ((FRAME, FRAME), (FRAME, FRAME), (0, 0)), mode="edge")
            found[scene.image.tobytes()] = (boxes + FRAME, scores)
    return found


def _with_given_proposals(recipe: Recipe, found: Mapping[bytes, Any]) -> LoadedModels:
    models = open_models(recipe)
    given = GivenProposals(found)
    roles = [role for role in ROLES if role in recipe.roles]
    settings = {role: models.settings(role) for role in roles}
    openers = {role: partial(models.open, role) for role in roles}
    return LoadedModels(settings, {**openers, "segmenter": lambda: given})


def _materialise(name: str, home: Home, recipe: Recipe, models: LoadedModels) -> float:
    """Make the table of a stage anew, and return the seconds it took."""
    stage, ledger = stage_named(name), Ledger(home.ledger)
    ledger.table_path(name, quality.SHARD).unlink(missing_ok=True)
    started = clock()
    materialize(stage, quality.SHARD, read_inputs(stage, home, quality.SHARD), recipe, ledger, models, "speed")
    return clock() - started


def _job(
    folder: Path, home: Home, pairs: Mapping[str, quality.DrawnPair], found: Mapping[bytes, Any], captioner: Path
) -> Path:
    """Write the images and what the worker has to know."""
    encoder = folder / "encoder"
    save_for_transformers(weights.locate("miniature:image_text_encoder"), encoder)
    _check_same_vectors(encoder, next(iter(pairs.values())).scenes[0].image)
    kept: dict[str, list[list[float]]] = {identity: [] for identity in pairs}
    for row in Ledger(home.ledger).read("bounding_boxes", quality.SHARD).to_pylist():
        if row["kept"]:
            kept[row["pair_id"]].append(_centred([row[corner] for corner in ("x1", "y1", "x2", "y2")]))
    proposals, rows = {}, []
    for identity, pair in pairs.items():
        row: dict[str, Any] = {"boxes": kept[identity]}
        for number, scene in enumerate(pair.scenes, 1):
            file = folder / f"{identity}-{number}.png"
            Image.fromarray(scene.image).save(file)
            row |= {f"image_path{number}": str(file), f"caption{number}": scene.caption}
            proposals[str(file)] = [_centred(box) for box in found[scene.image.tobytes()][0].tolist()]
        # The claim, which is what the two captions of a generated pair say.
        row["caption2"] = row["caption1"].replace(pair.claim[0], pair.claim[1])
        rows.append(row)
    job = {
        "models": {
            "encoder": str(encoder),
            "matcher": str(weights.locate("miniature:image_text_matcher")),
            "captioner": str(captioner),
        },
        "limits": LIMITS,
        "nouns": sorted({word for name in OBJECTS for word in name.split()}),
        "scratch": str(folder / "scratch"),
        "proposals": proposals,
        "pairs": rows,
    }
    path = folder / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path


def _centred(box: Sequence[float]) -> list[float]:
    """xyxy to centre, width and height."""
    x1, y1, x2, y2 = box
    return [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]


def _check_same_vectors(folder: Path, image: np.ndarray) -> None:
    """Raises ArithmeticError when the converted encoder sees something else than the one it was made from."""
    encoder = ImageTextEncoder(load_recipe("miniature").models.image_text_encoder)
    side = encoder.towers.size[0]
    small = np.array(Image.fromarray(image).resize((side, side)))
    model, processor = CLIPModel.from_pretrained(folder), CLIPProcessor.from_pretrained(folder)
    inputs = processor(images=Image.fromarray(small), text="a red ball", return_tensors="pt")
    with torch.inference_mode():
        output = model(**inputs)
    pictured, read = encoder.encode_images([small])[0], encoder.encode_texts(["a red ball"])[0]
    agreement = float(output.image_embeds[0].numpy() @ pictured), float(output.text_embeds[0].numpy() @ read)
    if min(agreement) < 0.999:
        raise ArithmeticError(f"The converted encoder's vectors are others than the original's: cosines {agreement}.")


def make_environment(folder: Path) -> None:
    """A virtual environment with Data-Juicer and the versions of our own libraries; about 6 GB, made once."""
    if (folder / "ready").exists():
        return
    print(f"installing py-data-juicer into {folder} ...", file=sys.stderr)
    venv.create(folder, with_pip=True)
    versions = {name: version(name).partition("+")[0] for name in ("torch", "torchvision", "transformers")}
    packages = [package.format(**versions) for package in PACKAGES]
    command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *packages], check=True)
    (folder / "ready").touch()


@contextmanager
def _worker(environment: Path, job: Path) -> Iterator[Any]:
    """Start the operators; the value is called with a stage's name, and returns the answer of one turn."""
    command = [environment / "bin" / "python", WORKER, job]
    with (job.parent / "worker.log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=job.parent
        )

        def ask(stage: str) -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(stage + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                log.seek(0)
                raise RuntimeError(f"Data-Juicer's operators ended: {log.read()[-2000:]}")
            answer: dict[str, Any] = json.loads(line)
            return answer

        try:
            yield ask
        finally:
            process.terminate()
            process.wait()
