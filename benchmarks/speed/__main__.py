"""How fast the models' roles are beside what they replace, as tables.

    python -m benchmarks.speed [pairs] [boxes] [regions] [questions] [stages] [shortcuts] [--rounds N] [--json FILE]
    python -m benchmarks.speed --full-size [--seconds 900] [--models FOLDER] [--json FILE] [--tiny]

All is compared in one process in turns, by the CPU seconds of one thread (of the GPU: seconds that pass); a figure is
the median of the turns' ratios, with the least and the largest. Models are small and their weights random, but where a
line says *miniature*. `stages` makes a virtual environment with py-data-juicer 1.6.1 first, about 6 GB. `--full-size`
needs a GPU, and about 40 GB for the models that it makes (`--models /dev/shm/models` keeps them in memory); it goes
piece by piece, the most telling first, and goes on where it was cut off. `--tiny` shows on any machine that all of its
pieces run.
"""

import json
import math
import platform
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import click
import torch

from benchmarks import pair_generator, quality
from benchmarks.speed import boxes, pairs, questions, regions, stages
from benchmarks.speed.full_size import FULL_SCALE, TINY_SCALE, Bench, run
from benchmarks.speed.random_models import SMALL, save_captioner
from benchmarks.speed.timing import Figure
from benchmarks.speed.whole import save_models
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
@click.option("--tiny", is_flag=True, help="With --full-size: the same pieces with tiny models, on any machine.")
@click.option("--seconds", default=math.inf, help="With --full-size: no more than these; what is left is for later.")
@click.option(
    "--models",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=CACHE / "full_size",
    show_default=True,
    help="With --full-size: where its models are kept, and the figures without --json.",
)
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
def main(
    sections: Sequence[str],
    rounds: int,
    full_size: bool,
    tiny: bool,
    seconds: float,
    folder: Path,
    environment: Path,
    file: Path | None,
) -> None:
    if full_size and sections:
        raise click.UsageError("--full-size measures everything; name no sections beside it.")
    torch.set_num_threads(1)
    if full_size:
        if not tiny and not torch.cuda.is_available():
            raise click.ClickException("--full-size needs a GPU, and torch sees none here; --tiny tries its pieces.")
        bench = Bench(folder, TINY_SCALE if tiny else FULL_SCALE)
        about = {"tiny": tiny, "device": _device(), "versions": _versions()}
        raise SystemExit(not run(bench, seconds, file or folder / "figures.json", about, click.echo))
    with tempfile.TemporaryDirectory() as temporary:
        models = save_models(Path(temporary), SMALL)
        for section in sections or SECTIONS:
            figures = _figures(section, Path(temporary), models, rounds, environment)
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
        large = [regions.resized(scene, 512) for scene in scenes[:2]]
        figures = boxes.measure_trained(scenes, rounds)
        for share in (0.3, 0.9):
            figures += boxes.measure_random(models["segmenter"], large, 8, share, "float32", few)
        return figures
    if section == "regions":
        trained = regions.Scoring("miniature:image_text_encoder", "miniature:image_text_matcher", "float32", 0.5)
        untrained = regions.Scoring(models["encoder"], models["matcher"], "float32", 0.5)
        small = regions.measure("miniature models, 64²", trained, regions.of_drawn(drawn, 64), folder, rounds)
        return [*small, *regions.measure("small models, 512²", untrained, regions.of_drawn(drawn, 512), folder, few)]
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
    raise click.UsageError(f"there is no section {section}")


def _write(file: Path, section: str, rounds: int, figures: Sequence[Figure]) -> None:
    """Put a section's figures into the file, beside those of other sections."""
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    results[section] = {
        "command": f"python -m benchmarks.speed {section} --rounds {rounds}",
        "device": _device(),
        "versions": _versions(),
        "figures": [asdict(figure) for figure in figures],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "diffusers", "transformers", "segment-anything")}


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
