"""`imgdiff ingest-pairs`."""

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


@click.command("ingest-pairs", short_help="Add image pairs that exist already.")
@click.argument("sources", nargs=-1, required=True, type=Place(), metavar="SOURCE...")
@click.option(
    "--suffixes",
    nargs=2,
    metavar="SOURCE TARGET",
    help="In a folder: what the names of the two images end in, or of two folders that hold them; one may be empty."
    '  [default: _0 _1, _source _target, _before _after, _left _right, _a _b or "" _edited; folders: A B, source '
    "target, before after, left right or input output]",
)
@root_option
@fit_option
@click.option(
    "--source-image", default="source_image", show_default=True, help="In a table: column of the first image."
)
@click.option("--target-image", default="target_image", show_default=True, help="Its second image column.")
@click.option("--source-caption", default="source_caption", show_default=True, help="Column of its caption, if any.")
@click.option("--target-caption", default="target_caption", show_default=True, help="Column of its caption, if any.")
@click.option("--source-object", default="source_object", show_default=True, help="Column of the object replaced.")
@click.option("--target-object", default="target_object", show_default=True, help="Column of the object in its place.")
@click.option("--shard-size", type=int, default=200, show_default=True, help="Most pairs in a shard.")
@licence_option
@dry_run_option
@recipe_option
@as_json_option
def ingest_pairs(
    sources: Sequence[PurePath],
    suffixes: tuple[str, str] | None,
    root: PurePath | None,
    fit: str,
    shard_size: int,
    licence: str | None,
    dry_run: bool,
    recipe: str | None,
    as_json: bool,
    **columns: str,
) -> None:
    """Add image pairs that exist already: a folder, or a table with two columns of images (.jsonl, .json, .csv, .tsv
    or .parquet).

    They become shards like any other: `imgdiff run` draws nothing for them, and filters, boxes, captions and exports
    them as it does its own. An image is a path, relative to the table and in its folder or --root, or base64 or a
    data: URL; in a .parquet file it may be bytes, or the Hugging Face Image layout. Captions and objects are optional:
    without objects the match filter of bounding_boxes has nothing to judge and lets every region pass.

    A pair is known by its pixels: given again it is dropped and counted. A row that cannot be used is reported with
    file, row and field, and kept in captions/rejected.jsonl of IMGDIFF_HOME. What `imgdiff export` wrote is refused.

    \b
    imgdiff ingest-pairs photos/ --dry-run                  which pairs there are, and what is wrong with the others
    imgdiff ingest-pairs photos/                            NAME_0.jpg and NAME_1.jpg
    imgdiff ingest-pairs photos/                            A/NAME.jpg and B/NAME.jpg
    imgdiff ingest-pairs photos/ --suffixes "" -retouched   NAME.jpg and NAME-retouched.jpg
    imgdiff ingest-pairs s3://bucket/photos/                the same, of a bucket
    imgdiff ingest-pairs edits.parquet --source-image input --target-image output --fit resize
    """
    from imgdiff_assets.ingest.ingest_pairs import ingest_pairs as ingest
    from imgdiff_assets.recipe.chosen_recipe import load_recipe
    from imgdiff_assets.setup.drawable import remark_on_pairs

    home, remark = Home.from_environment(), remark_on_pairs(load_recipe(recipe))
    with ProgressBars() as progress:
        report = ingest(sources, home, columns, suffixes, fit, shard_size, progress, root, dry_run)
    end_ingest(home, report, "pair", licence, dry_run, as_json, recipe, remark if report.accepted else None)
