"""`imgdiff ingest`."""

from collections.abc import Sequence
from pathlib import PurePath

import click

from imgdiff_assets.cli.ingest_report import end_ingest
from imgdiff_assets.cli.options import Place, as_json_option, dry_run_option, licence_option, recipe_option
from imgdiff_assets.home import Home


@click.command(short_help="Add captions from files.")
@click.argument("files", nargs=-1, required=True, type=Place(), metavar="FILE...")
@click.option("--column", help="The field that holds the captions, in all but .txt files.  [default: caption]")
@click.option("--shard-size", type=int, default=1000, show_default=True, help="Most captions in a shard.")
@click.option(
    "--fill-gaps", is_flag=True, help="Note the replacements made so far, for prompt_pairs.keep_attempts to go by."
)
@licence_option
@dry_run_option
@recipe_option
@as_json_option
def ingest(
    files: Sequence[PurePath],
    column: str | None,
    shard_size: int,
    fill_gaps: bool,
    licence: str | None,
    dry_run: bool,
    recipe: str | None,
    as_json: bool,
) -> None:
    """Add captions: .txt (one a line), .jsonl, .json (COCO's, or a list), .csv, .tsv or .parquet;
    or a folder of such files. A place may be in a bucket, s3://bucket/prefix.

    They become shards, the pieces that are run and scheduled. A caption that is there already is dropped and counted;
    a line that cannot be used is reported with its reason, and the others are taken. How many of them the recipe's
    models can draw is told at once. `imgdiff shards remove` takes shards out again.

    \b
    imgdiff ingest coco.txt
    imgdiff ingest coco.txt --dry-run
    imgdiff ingest coco.txt --licence CC-BY-4.0
    imgdiff ingest annotations.csv --column text --shard-size 200
    imgdiff ingest s3://bucket/captions/
    imgdiff ingest more.txt --fill-gaps                      then
    imgdiff run --set prompt_pairs.attempts=4 prompt_pairs.keep_attempts=1
    """
    from imgdiff_assets.ingest.ingest_captions import ingest as ingest_files
    from imgdiff_assets.recipe.chosen_recipe import load_recipe
    from imgdiff_assets.setup.drawable import Drawable

    home = Home.from_environment()
    drawable = Drawable(load_recipe(recipe))
    filled = None
    if fill_gaps:
        from imgdiff_assets.statistics.diversity import filled_so_far

        filled = filled_so_far(home)
    report = ingest_files(files, home, column, shard_size, filled, drawable.add, dry_run)
    remark = drawable.to_text() if drawable.captions else None
    end_ingest(home, report, "caption", licence, dry_run, as_json, recipe, remark)
