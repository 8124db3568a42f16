"""`imgdiff ingest-images`."""

from collections.abc import Sequence
from pathlib import PurePath

import click

from imgdiff_assets.cli.ingest_report import end_ingest
from imgdiff_assets.cli.options import (
    Place,
    as_json_option,
    dry_run_option,
    fit_option,
    licence_option,
    recipe_option,
    root_option,
)
from imgdiff_assets.cli.terminal import ProgressBars
from imgdiff_assets.home import Home


@click.command("ingest-images", short_help="Add photographs, of which edits are made.")
@click.argument("sources", nargs=-1, required=True, type=Place(), metavar="SOURCE...")
@root_option
@click.option("--image-column", default="image", show_default=True, help="In a table: column of the pictures.")
@click.option("--caption-column", default="caption", show_default=True, help="Column of their captions, if any.")
@click.option(
    "--pair-up",
    is_flag=True,
    help="Find pairs among the pictures themselves: alike but not the same, with nothing generated. Films (.mp4, "
    ".mov, .mkv, .webm, ...) are taken too, as frames.",
)
@click.option(
    "--most-pairs", type=click.IntRange(min=1), default=1, show_default=True, help="Most pairs that a picture is in."
)
@click.option(
    "--every",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Of a film, a frame each so many seconds.",
)
@fit_option
@click.option("--shard-size", type=int, default=200, show_default=True, help="Most pictures in a shard.")
@licence_option
@dry_run_option
@recipe_option
@as_json_option
def ingest_images(
    sources: Sequence[PurePath],
    root: PurePath | None,
    image_column: str,
    caption_column: str,
    pair_up: bool,
    most_pairs: int,
    every: float,
    fit: str,
    shard_size: int,
    licence: str | None,
    dry_run: bool,
    recipe: str | None,
    as_json: bool,
) -> None:
    """Add pictures, such as photographs: a folder with all below it, or a table with a column of images (.jsonl,
    .json, .csv, .tsv or .parquet).

    Of each, `imgdiff run` makes pairs: the captioner describes what came without a caption, the rewriter changes one
    thing in the caption, and the recipe's editor changes it in the picture. Sizes are made to fit as
    `prompt_pairs.pictures` says; `prompt_pairs.avoid` keeps people out.

    A picture is a path, relative to the table and in its folder or --root, or base64 or a data: URL; in a .parquet
    file it may be bytes, or the Hugging Face Image layout. It is known by its pixels: given again it is dropped and
    counted. One that cannot be used is reported with file, row and field, and kept in captions/rejected.jsonl of
    IMGDIFF_HOME.

    With --pair-up pairs are made of the pictures alone: those whose cosine, by the recipe's encoder, lies within
    filtered_pairs.min_similarity and max_similarity, the likest first. They are laid on each other and cut to what
    both show; then all is as with `imgdiff ingest-pairs`.

    \b
    imgdiff ingest-images photos/ --dry-run           which pictures there are, and what is wrong with the others
    imgdiff ingest-images photos/                     all of a folder; the captioner will describe them
    imgdiff ingest-images coco.jsonl --image-column file_name --caption-column text --root train2017/
    imgdiff ingest-images garden.mp4 webcam/ --pair-up --every 10 --most-pairs 2
    """
    from imgdiff_assets.ingest.ingest_pictures import ingest_pictures
    from imgdiff_assets.recipe.chosen_recipe import load_recipe
    from imgdiff_assets.setup.drawable import remark_on_pairs

    values = load_recipe(recipe)
    home, remark = Home.from_environment(), remark_on_pairs(values)
    columns = {"image": image_column, "caption": caption_column}
    with ProgressBars() as progress:
        if pair_up:
            from imgdiff_assets.engine.mining import mining_by
            from imgdiff_assets.ingest.mined_pairs import ingest_mined

            mining = mining_by(values, most_pairs, fit, every)
            report = ingest_mined(sources, home, mining, columns, shard_size, progress, root, dry_run)
        else:
            report = ingest_pictures(sources, home, columns, shard_size, progress, root, dry_run)
    noun = "pair" if pair_up else "picture"
    end_ingest(home, report, noun, licence, dry_run, as_json, recipe, remark if report.accepted else None)
