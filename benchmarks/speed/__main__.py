"""How fast the models' roles are beside what they replace, as tables.

    python -m benchmarks.speed [pairs] [boxes] [regions] [questions] [stages] [shortcuts] [padding] [kernels]
    python -m benchmarks.speed --full-size [--seconds 900] [--models FOLDER] [--json FILE] [--tiny]

All is compared in one process in turns; a figure is the median of the turns' ratios, with the least and the largest.
With one thread it is the CPU seconds of this process that are compared, with several (or a GPU) seconds that pass, for
which the machine must be idle. `boxes`, `regions`, `stages` and `kernels` (the dearest of boxes and of scoring) are
measured at three sizes: the shipped miniature, small models with random weights, and `base`, what a CPU bears of
published sizes (SAM ViT-B, CLIP ViT-B/32, BLIP base). What `--json` has of the same device and versions is not
measured again, so a run may be cut off anywhere.

`stages` makes a virtual environment with py-data-juicer 1.6.1 first, about 6 GB. `--full-size` needs a GPU, and about
40 GB for the models that it makes (`--models /dev/shm/models` keeps them in memory); it goes piece by piece, the most
telling first, and goes on where it was cut off. `--tiny` shows on any machine that all of its pieces run.
"""

import json
import math
import platform
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks import pair_generator, quality
from benchmarks.speed import boxes, padding, pairs, peer, questions, regions, stages
from benchmarks.speed.full_size import FULL_SCALE, TINY_SCALE, Bench, run
from benchmarks.speed.random_models import SMALL
from benchmarks.speed.timing import Figure, dearest_kernels
from benchmarks.speed.whole import save_models
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from resources.miniature.scenes import draw_scene
from resources.segmenter import Segmenter, SegmenterSettings

SECTIONS = ("pairs", "boxes", "regions", "questions", "stages", "shortcuts", "padding", "kernels")
BY_SIZE = ("boxes", "regions", "stages", "kernels")
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
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=click.Choice(list(stages.WORKS)),
    help=f"Of {', '.join(BY_SIZE)}; all if none is named.",
)
@click.option("--threads", type=click.IntRange(1), multiple=True, default=[1], show_default=True, help="Of torch.")
@click.option("--full-size", is_flag=True, help="Published sizes at 1024 x 1024 pixels and 50 steps; needs a GPU.")
@click.option("--tiny", is_flag=True, help="With --full-size: the same pieces with tiny models, on any machine.")
@click.option("--seconds", default=math.inf, help="With --full-size: no more than these; what is left is for later.")
@click.option(
    "--models",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Where models are kept, and figures of --full-size without --json.  [default: in {CACHE}]",
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
    sizes: Sequence[str],
    threads: Sequence[int],
    full_size: bool,
    tiny: bool,
    seconds: float,
    folder: Path | None,
    environment: Path,
    file: Path | None,
) -> None:
    if full_size and sections:
        raise click.UsageError("--full-size measures everything; name no sections beside it.")
    torch.set_num_threads(1)
    folder = folder or CACHE / ("full_size" if full_size else "cpu")
    if full_size:
        if not tiny and not torch.cuda.is_available():
            raise click.ClickException("--full-size needs a GPU, and torch sees none here; --tiny tries its pieces.")
        bench = Bench(folder, TINY_SCALE if tiny else FULL_SCALE)
        about = {"tiny": tiny, "device": _device(), "versions": _versions()}
        raise SystemExit(not run(bench, seconds, file or folder / "figures.json", about, click.echo))
    for section, size, count in _pieces(sections or SECTIONS, sizes or tuple(stages.WORKS), threads):
        torch.set_num_threads(count)
        command = f"python -m benchmarks.speed {section} --rounds {rounds}"
        if size:
            command += f" --size {size}"
        if count > 1:
            command += f" --threads {count}"
        name = ", ".join(filter(None, (section, size, f"{count} threads" if count > 1 else "")))
        about = {"command": command, "device": _device(), "versions": _versions()}
        if (
            file
            and file.exists()
            and about.items() <= json.loads(file.read_text(encoding="utf-8")).get(name, {}).items()
        ):
            click.echo(f"{name}: there already\n")
            continue
        figures = _figures(section, size, folder, rounds, environment)
        click.echo(f"{name}\n\n{_table(figures)}\n")
        if file:
            _write(file, name, about, figures)


def _pieces(sections: Sequence[str], sizes: Sequence[str], threads: Sequence[int]) -> Iterator[tuple[str, str, int]]:
    """Sections, each at every size that it has, with every number of threads."""
    for section in sections:
        for size in sizes if section in BY_SIZE else [""]:
            for count in threads:
                yield section, size, count


def _figures(section: str, size: str, folder: Path, rounds: int, environment: Path) -> list[Figure]:
    few = min(rounds, 3)
    drawn = quality.draw_pairs(12, seed=0)
    if section == "boxes":
        return _boxes(size, folder, rounds)
    if section in ("regions", "kernels"):
        side = stages.WORKS[size].side
        scoring = regions.Scoring(*_scorers(size, folder), "float32", 0.5)
        some = regions.of_drawn(drawn if size == "miniature" else drawn[:4], side)
        if section == "kernels":
            scored = dearest_kernels("scoring regions", lambda: scoring.in_batches(some))
            settings = SegmenterSettings(
                model=str(_segmenter_model(size, folder)), points_per_side=8, pred_iou_threshold=0.5
            )
            segmenter, scenes = Segmenter(settings), _scenes(size, 1)
            return [*scored, *dearest_kernels("boxes, 8² points", lambda: segmenter.propose(scenes))]
        with tempfile.TemporaryDirectory() as scratch:
            return regions.measure(f"{size} models, {side}²", scoring, some, Path(scratch), few)
    if section == "padding":
        return padding.measure()
    if section == "stages":
        peer.make_environment(environment)
        return stages.measure(stages.WORKS[size], folder / size, few, environment)
    models = save_models(folder / "small", SMALL, ("pair_generator",))
    if section == "pairs":
        model = models["pair_generator"]
        larger = pairs.measure(model, 128, 2, few, "float32", shortcuts=False)
        compiled = pairs.measure_compiled(model, 64, 5, few, "float32")
        return [*pairs.measure(model, 64, 5, few, "float32"), *compiled, *larger]
    if section == "questions":
        # With as many tokens an image as LLaVA-1.5 has.
        larger = replace(SMALL, captioner={**SMALL.captioner, "image_size": 336})
        model = save_models(folder / "small_336", larger, ("captioner",))["captioner"]
        return questions.measure("small LLaVA, 336²", model, 4, 3, "float32", rounds)
    settings = load_recipe("miniature").models.pair_generator
    return [
        Figure(f"{name}: {one.what}, miniature", one.value, one.unit)
        for name, changes in SHORTER.items()
        for one in pair_generator.measure(settings.model_copy(update=changes), 30)[2:]
    ]


def _boxes(size: str, folder: Path, rounds: int) -> list[Figure]:
    if size == "miniature":
        return boxes.measure_trained(_scenes(size, 48), rounds)
    model = Path(_segmenter_model(size, folder))
    if size == "base":
        # As many points as both have by default: with fewer it is the image encoder that is compared.
        return boxes.measure_random(model, _scenes(size, 1), 32, 0.3, "float32", min(rounds, 3), warm=True)
    return [
        figure
        for share in (0.3, 0.9)
        for figure in boxes.measure_random(model, _scenes(size, 2), 16, share, "float32", min(rounds, 3))
    ]


def _scenes(size: str, count: int) -> list[np.ndarray]:
    """Drawn scenes of the size that the segmenter sees."""
    side = 64 if size == "miniature" else stages.WORKS[size].sizes.sam["image_encoder"]["img_size"]
    return [regions.resized(draw_scene(random.Random(seed)).image, side) for seed in range(count)]


def _segmenter_model(size: str, folder: Path) -> Path | str:
    if size == "miniature":
        return "miniature:segmenter"
    return save_models(folder / size, stages.WORKS[size].sizes, ("segmenter",))["segmenter"]


def _scorers(size: str, folder: Path) -> tuple[Path | str, Path | str]:
    """Models of the encoder and the matcher."""
    if size == "miniature":
        return "miniature:image_text_encoder", "miniature:image_text_matcher"
    saved = save_models(folder / size, stages.WORKS[size].sizes, ("encoder", "matcher"))
    return saved["encoder"], saved["matcher"]


def _known(file: Path) -> dict[str, dict[str, Any]]:
    """What has been measured, by piece."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _write(file: Path, name: str, about: dict[str, Any], figures: Sequence[Figure]) -> None:
    """Put a piece's figures into the file, beside those of others."""
    results = _known(file)
    results[name] = {**about, "figures": [asdict(figure) for figure in figures]}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "diffusers", "transformers", "segment-anything")}


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"


def _table(figures: Sequence[Figure]) -> str:
    lines = ["| what | measured | least – largest | goal | note |", "| --- | ---: | ---: | --- | --- |"]
    for one in figures:
        spread = f"{one.spread[0]:.3g} – {one.spread[1]:.3g}" if one.spread else ""
        lines.append(f"| {one.what} | {one.value:.3g} {one.unit} | {spread} | {one.goal} | {one.note} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
