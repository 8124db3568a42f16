"""Rebuild the miniature models from nothing: `python -m resources.miniature.train [ROLE ...]`."""

import importlib
import time
from pathlib import Path

import click

WEIGHTS = Path(__file__).parent / "weights"
# The judging models also learn from pictures that the pair generator makes, so it comes before them.
ROLES = (
    "pair_generator",
    "segmenter",
    "image_text_encoder",
    "image_text_matcher",
    "captioner",
    "prompt_rewriter",
    "inpainter",
    "verifier",
    "editor",
    "kinds_captioner",
    "kinds_prompt_rewriter",
)


@click.command()
@click.argument("roles", nargs=-1, type=click.Choice(ROLES), metavar="[ROLE]...")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=WEIGHTS,
    help="Folder that gets one folder of weights per role; default: the weights shipped with the package.",
)
def main(roles: tuple[str, ...], output: Path) -> None:
    """Train the given roles, or all, on scenes that are drawn for it, and save their weights.

    Roles: pair_generator, segmenter, image_text_encoder, image_text_matcher, captioner, prompt_rewriter, inpainter,
    verifier, editor, kinds_captioner, kinds_prompt_rewriter. The last two go on from the weights that are shipped.
    All but the first and the prompt rewriter learn from the pair generator's pictures, or go on from its weights: if
    it is trained anew, train them anew.

    Seeded; needs no accelerator and no download. All roles together take under three hours on two cores.
    """
    for role in [role for role in ROLES if not roles or role in roles]:
        started = time.monotonic()
        trainer = importlib.import_module(f"resources.miniature.train_{role}")
        trainer.train(output / role)
        click.echo(f"{role}: saved to {output / role} after {(time.monotonic() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
