"""How many errors are left among kept samples with one captioner, with both orders, and with a second captioner.

    python -m benchmarks.witnesses [--pairs 200] [--witness FOLDER] [--json FILE]

Drawn pairs, of which a fifth are not what is claimed (`benchmarks.quality`), go through all stages between images and
samples. A kept region is an error where its difference is not what was drawn, or where nothing was replaced at all.
The witness is trained here, where no folder has it: as the miniature's captioner, from another seed, an eighth as
long.
"""

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from benchmarks import quality
from benchmarks.stage_runs import open_models
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.statistics.certificate import wilson
from resources.miniature import train_captioner
from resources.miniature.train import WEIGHTS

SEED, STEPS = 1_037, 900
NO_WORDS = "captions.min_agreement=0"
"""So that what the witnesses find is seen: words are compared first, where a recipe says so."""

INVERSE = ("captions.inversion={}", "captions.inversion.min_inversion=1")
ATTESTED = ("captions.witness={}", "captions.witness.min_witness_agreement=1")
RULES: dict[str, tuple[str, ...]] = {
    "one": (NO_WORDS,),
    "one, words compared": (),
    "both orders": (NO_WORDS, *INVERSE),
    "two captioners": (NO_WORDS, *ATTESTED),
    "words, two captioners": ATTESTED,
    "words, both orders, two captioners": (*INVERSE, *ATTESTED),
}
STEPS_OF = {"tell_apart": "the first answer", "tell_back": "in the other order", "attest": "the second captioner"}


@dataclass(frozen=True, slots=True)
class Left:
    """Regions kept, the errors among them with a 95 % interval of their share, and pairs with a right sample."""

    kept: int
    errors: int
    interval: tuple[float, float]
    pairs_with_a_right_sample: int


def trained(folder: Path) -> Path:
    """A captioner that learned from other pictures, in another order, than the miniature's."""
    target = folder / "captioner"
    if not (target / "config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "pair_generator").exists():
            (folder / "pair_generator").symlink_to(WEIGHTS / "pair_generator")
        train_captioner.SEED = SEED
        train_captioner.PHASES = ((("drawn", "reconstructed"), STEPS),)
        train_captioner.train(target)
    return target


def measure(count: int, witness: Path) -> tuple[dict[str, Left], dict[str, float]]:
    """By rules what is left of errors; and seconds of each question, of all regions that it was asked of."""
    recipe = load_recipe("miniature", [f"witness.model={witness}"])
    models, pairs = open_models(recipe), quality.draw_pairs(count, 0)
    results: dict[str, Left] = {}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        truth = dict(zip(quality.write_parents(home, pairs), pairs, strict=True))
        ledger = Ledger(home.ledger)
        for rules, changes in RULES.items():
            quality.run_stages(home, override_recipe(recipe, changes), models)
            rows = [row for row in ledger.read("captions", quality.SHARD).to_pylist() if row["kept"]]
            right = [row for row in rows if is_right(row, truth[row["pair_id"]])]
            errors = len(rows) - len(right)
            found = {row["pair_id"] for row in right}
            results[rules] = Left(len(rows), errors, wilson(errors, len(rows)), len(found))
            record = ledger.record("captions", quality.SHARD) or {}
            for step, what in STEPS_OF.items():
                # The first time that a question is asked of many, it is asked of all.
                if record["calls"].get(step, 0) > seconds.get(f"{what}, regions", 0):
                    seconds[f"{what}, regions"] = record["calls"][step]
                    seconds[what] = record["step_seconds"][step]
    return results, seconds


def is_right(row: dict[str, object], pair: quality.DrawnPair) -> bool:
    """Whether the difference is what was drawn."""
    return pair.kind == "replaced" and quality.difference_right(row, pair)


@click.command()
@click.option("--pairs", default=200, show_default=True, help="Pairs to draw.")
@click.option("--witness", type=click.Path(file_okay=False, path_type=Path), help="A captioner's folder.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Also write the figures here.")
def main(pairs: int, witness: Path | None, file: Path | None) -> None:
    """Print what is left of errors, and what each question costs."""
    with tempfile.TemporaryDirectory() as folder:
        results, seconds = measure(pairs, witness or trained(Path(folder)))
    for rules, left in results.items():
        low, high = left.interval
        click.echo(
            f"{rules}: {left.errors} of {left.kept} kept are errors (95 % interval {low:.1%} to {high:.1%}), "
            f"{left.pairs_with_a_right_sample} pairs with a right sample"
        )
    click.echo(", ".join(f"{what} {value:.3g}" for what, value in seconds.items()))
    if file:
        told = {"pairs": pairs, "rules": {rules: asdict(left) for rules, left in results.items()}, "seconds": seconds}
        file.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
