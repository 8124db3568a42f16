"""The `imgdiff` command. Each command imports what it needs when it is given: so help and statistics come at once."""

import atexit
import gc
import os
import sys

import click

from imgdiff_assets.cli.browse import browse
from imgdiff_assets.cli.catalog import catalog
from imgdiff_assets.cli.certificate import certificate
from imgdiff_assets.cli.commands import Commands
from imgdiff_assets.cli.demo import demo
from imgdiff_assets.cli.doctor import doctor
from imgdiff_assets.cli.estimate import estimate
from imgdiff_assets.cli.evaluate import evaluate
from imgdiff_assets.cli.export import export
from imgdiff_assets.cli.ingest import ingest
from imgdiff_assets.cli.ingest_images import ingest_images
from imgdiff_assets.cli.ingest_pairs import ingest_pairs
from imgdiff_assets.cli.init import init
from imgdiff_assets.cli.ledger import ledger
from imgdiff_assets.cli.lineage import lineage
from imgdiff_assets.cli.map import map_
from imgdiff_assets.cli.models import models
from imgdiff_assets.cli.recipe import recipe
from imgdiff_assets.cli.release import release
from imgdiff_assets.cli.remove import remove
from imgdiff_assets.cli.replay import replay
from imgdiff_assets.cli.report import report
from imgdiff_assets.cli.reviewers import reviewers
from imgdiff_assets.cli.reviews import reviews
from imgdiff_assets.cli.run import run
from imgdiff_assets.cli.shards import shards
from imgdiff_assets.cli.stats import stats
from imgdiff_assets.cli.status import status
from imgdiff_assets.cli.train_config import train_config
from imgdiff_assets.cli.ui import ui
from imgdiff_assets.cli.what_if import what_if
from imgdiff_assets.common.own_resources import require_own_resources

FULL_COLLECTION_AFTER = 100
"""So many collections of the middle-aged; Python's own is 10."""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="imgdiff-assets", message="imgdiff %(version)s")
def main() -> None:
    """Captions in, an image-difference fine-tune set out.

    \b
    imgdiff demo                              see it work, in a few minutes
    imgdiff init ~/my_pairs                   a home for what you have, with a recipe of its own
    imgdiff ingest captions.txt               your own captions
    imgdiff run                               all stages, over all captions
    imgdiff stats                             what was kept, and why the rest was not
    imgdiff export --format llava --out DIR   what a trainer reads

    IMGDIFF_HOME is the folder of all that is made (default: ./imgdiff_home). IMGDIFF_RECIPE is the recipe: models
    and thresholds (default: recipe.yaml in the home, else miniature, whose models come with the package and draw a
    few things alone). Everything is kept, and a run does only
    what is missing, so any command may be stopped and given again.
    """
    require_own_resources()


for each in (
    browse,
    catalog,
    certificate,
    demo,
    doctor,
    estimate,
    evaluate,
    export,
    ingest,
    ingest_images,
    ingest_pairs,
    init,
    ledger,
    lineage,
    map_,
    models,
    recipe,
    release,
    remove,
    replay,
    report,
    reviewers,
    reviews,
    run,
    shards,
    stats,
    status,
    train_config,
    ui,
    what_if,
):
    main.add_command(each)


def collect_the_old_rarely() -> None:
    """Have Python look through all objects a tenth as often for garbage.

    Nearly all that is there are the libraries, over half a million objects that stay; they were looked through again
    and again while they are imported. Young garbage is collected as ever, and all of it where a model makes room.
    """
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, FULL_COLLECTION_AFTER)


def command() -> None:
    """The console command: `main`, and then the process's end, after all that was registered for it.

    The interpreter's own end makes DuckDB 2.0 list what it did not free, over what the command said.
    """
    status = 1
    collect_the_old_rarely()

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    atexit.register(end)
    try:
        main()
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
        raise


if __name__ == "__main__":
    command()
