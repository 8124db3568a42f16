"""Whether the shipped miniature models are good enough: a table of what each reaches and should reach.

    python -m benchmarks.miniature [ROLE ...] [--count N] [--json FILE]

Everything is measured on scenes and prompts that training never showed, through the same role classes and settings as
the shipped miniature recipe runs, by judges that share nothing with the models.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from benchmarks import inpainter, judging_models, pair_generator, plausibility
from benchmarks.measurement import Measurement, table
from imgdiff_assets.recipe.chosen_recipe import load_recipe

ROLES: dict[str, Callable[[Any, int], list[Measurement]]] = {
    "pair_generator": pair_generator.measure,
    "image_text_encoder": judging_models.measure_image_text_encoder,
    "image_text_matcher": judging_models.measure_image_text_matcher,
    "segmenter": judging_models.measure_segmenter,
    "captioner": judging_models.measure_captioner,
    "prompt_rewriter": judging_models.measure_prompt_rewriter,
    "inpainter": inpainter.measure,
    "verifier": plausibility.measure,
}


@click.command()
@click.argument("roles", nargs=-1, type=click.Choice(tuple(ROLES)), metavar="[ROLE]...")
@click.option("--count", default=200, show_default=True, help="Scenes or prompts to measure each figure on.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Also write the figures here.")
def main(roles: tuple[str, ...], count: int, file: Path | None) -> None:
    """Print what each miniature model reaches and should reach; all roles, or the given ones."""
    models = load_recipe("miniature", ["verifier.model=miniature:verifier"]).models
    measurements = [one for role in roles or ROLES for one in ROLES[role](getattr(models, role), count)]
    click.echo(table(measurements))
    if file:
        rows = [{**asdict(one), "met": one.met} for one in measurements]
        file.write_text(json.dumps({"count": count, "measurements": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
