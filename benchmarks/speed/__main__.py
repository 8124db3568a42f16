"""How fast the models' roles are beside what they replace, as tables.

    python -m benchmarks.speed [pairs] [boxes] [regions] [questions] [stages] [shortcuts] [--rounds N] [--json FILE]
    python -m benchmarks.speed --full-size [--json FILE]

All is compared in one process in turns, by the CPU seconds of one thread (of the GPU: seconds that pass); a figure is
the median of the turns' ratios, with the least and the largest. Models are small and their weights random, but where a
line says *miniature*. `stages` makes a virtual environment with py-data-juicer 1.6.1 first, about 6 GB. `--full-size`
needs a GPU, and about 40 GB of disk for the models that it makes.
"""

import json
import platform
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image

from benchmarks import pair_generator, quality
from benchmarks.speed import boxes, pairs, questions, regions, stages
from benchmarks.speed.random_models import FULL, SMALL, save_captioner
from benchmarks.speed.timing import Figure
from benchmarks.speed.whole import Load, measure, save_models
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from resources.miniature.scenes import draw_scene

SECTIONS = ("pairs", "boxes", "regions", "questions", "stages", "shortcuts")
CACHE = Path.home() / ".cache" / "imgdiff_benchmarks"
SHORTER: dict[str, dict[str, float]] = {
    "as shipped": {},
    "shared_steps: 0.2": {"shared_steps": 0.2},
    "guidance_steps: 0.6": {"guidance_steps": 0.6},
    "inner_blocks_every: 2": {"inner_blocks_every": 2},
    "inner_blocks_every: 3": {"inner_blocks_every": 3},
    "shared_steps: 0.2, guidance_steps: 0.6": {"shared_steps": 0.2, "guidance_steps": 0.6},
    "all three": {"shared_steps": 0.2, "guidance_steps": 0.6, "inner_blocks_every": 2},
    "num_inference_steps: 5": {"num_inference_steps": 5},
    "local_blend_threshold: 0.3": {"local_blend_threshold": 0.3},
}


@click.command(help=__doc__.partition("\n")[0] if __doc__ else None)
@click.argument("sections", nargs=-1, type=click.Choice(SECTIONS), metavar="[SECTION]...")
@click.option("--rounds", default=5, show_default=True, help="Turns of everything that is compared.")
@click.option("--full-size", is_flag=True, help="Published sizes at 1024 x 1024 pixels and 50 steps; needs a GPU.")
@click.option(
    "--environment",
    type=click.Path(path_type=Path),
    default=CACHE / "data_juicer",
    show_default=True,
    help="The virtual environment for `stages`; made when missing.",
)
@click.option(
    "--json",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Put the figures here too, beside those of other sections.",
)
def main(sections: Sequence[str], rounds: int, full_size: bool, environment: Path, file: Path | None) -> None:
    if full_size and not torch.cuda.is_available():
        raise click.ClickException("--full-size needs a GPU, and torch sees none here; without it, small models run.")
    if full_size and sections:
        raise click.UsageError("--full-size measures everything; name no sections beside it.")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        models = save_models(Path(folder), FULL if full_size else SMALL)
        for section in ("full size",) if full_size else sections or SECTIONS:
            figures = _figures(section, Path(folder), models, rounds, environment)
            click.echo(_table(figures) + "\n")
            if file:
                _write(file, section, rounds, figures)


def _figures(section: str, folder: Path, models: dict[str, Path], rounds: int, environment: Path) -> list[Figure]:
    few = min(rounds, 3)
    drawn = quality.draw_pairs(12, seed=0)
    if section == "pairs":
        model = models["pair_generator"]
        larger = pairs.measure(model, 128, 2, few, "float32", shortcuts=False)
        compiled = pairs.measure_compiled(model, 64, 5, few, "float32")
        return [*pairs.measure(model, 64, 5, few, "float32"), *compiled, *larger]
    if section == "boxes":
        scenes = [draw_scene(random.Random(seed)).image for seed in range(8)]
        large = [_resized(scene, 512) for scene in scenes[:2]]
        figures = boxes.measure_trained(scenes, rounds)
        for share in (0.3, 0.9):
            figures += boxes.measure_random(models["segmenter"], large, 8, share, "float32", few)
        return figures
    if section == "regions":
        trained = regions.Scoring("miniature:image_text_encoder", "miniature:image_text_matcher", "float32", 0.5)
        untrained = regions.Scoring(models["encoder"], models["matcher"], "float32", 0.5)
        small = regions.measure("miniature models, 64²", trained, _regions(drawn, 64), folder, rounds)
        return [*small, *regions.measure("small models, 512²", untrained, _regions(drawn, 512), folder, few)]
    if section == "questions":
        # With as many tokens an image as LLaVA-1.5 has.
        larger = replace(SMALL, captioner={**SMALL.captioner, "image_size": 336})
        save_captioner(folder / "captioner_336", larger)
        return questions.measure("small LLaVA, 336²", folder / "captioner_336", 4, 3, "float32", rounds)
    if section == "stages":
        stages.make_environment(environment)
        return stages.measure(models["captioner"], 12, few, environment)
    if section == "shortcuts":
        settings = load_recipe("miniature").models.pair_generator
        return [
            Figure(f"{name}: {one.what}, miniature", one.value, one.unit)
            for name, changes in SHORTER.items()
            for one in pair_generator.measure(settings.model_copy(update=changes), 30)[2:]
        ]
    images = [_resized(draw_scene(random.Random(seed)).image, 1024) for seed in range(4)]
    scoring = regions.Scoring(models["encoder"], models["matcher"], "float16", 0.5)
    return [
        *pairs.measure(models["pair_generator"], 128, 50, few, "float16"),
        *pairs.measure_compiled(models["pair_generator"], 128, 50, few, "float16"),
        *boxes.measure_random(models["segmenter"], images, 32, 0.3, "bfloat16", few),
        *regions.measure("full size, 1024²", scoring, _regions(drawn, 1024), folder, rounds),
        *questions.measure("LLaVA-1.5 7B", models["captioner"], 4, 3, "float16", rounds),
        *measure(models, 8, Load(), "float16"),
    ]


def _write(file: Path, section: str, rounds: int, figures: Sequence[Figure]) -> None:
    """Put a section's figures into the file, beside those of other sections."""
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    named = "--full-size" if section == "full size" else section
    results[section] = {
        "command": f"python -m benchmarks.speed {named} --rounds {rounds}",
        "device": _device(),
        "versions": {name: version(name) for name in ("torch", "diffusers", "transformers", "segment-anything")},
        "figures": [asdict(figure) for figure in figures],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    return np.array(Image.fromarray(image).resize((side, side)))


def _regions(drawn: Sequence[quality.DrawnPair], side: int) -> list[regions.Region]:
    """The regions of drawn pairs enlarged to `side`: where an object changed, or should have."""
    found: list[regions.Region] = []
    for pair in drawn:
        source, target = (_resized(scene.image, side) for scene in pair.scenes)
        found += [(source, target, box * side / 64, pair.claim) for box in pair.boxes]
    return found


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU, one thread"


def _table(figures: Sequence[Figure]) -> str:
    lines = ["| what | measured | least – largest | goal | note |", "| --- | ---: | ---: | --- | --- |"]
    for one in figures:
        spread = f"{one.spread[0]:.3g} – {one.spread[1]:.3g}" if one.spread else ""
        lines.append(f"| {one.what} | {one.value:.3g} {one.unit} | {spread} | {one.goal} | {one.note} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
