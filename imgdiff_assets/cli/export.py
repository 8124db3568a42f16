"""`imgdiff export`: the kept samples as a trainer reads them."""

from collections.abc import Sequence
from pathlib import Path

import click

from imgdiff_assets.cli.options import SeveralValues, as_json_option, shards_option
from imgdiff_assets.cli.terminal import ProgressBars, echo_json
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.export.formats import FORMATS
from imgdiff_assets.export.options import Options
from imgdiff_assets.home import Home


@click.command(cls=SeveralValues, short_help="Write the kept samples as a trainer reads them.")
@click.option(
    "--format", "format_name", type=click.Choice(list(FORMATS)), required=True, help="What the trainer reads."
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="A new or empty folder, or an older export."
)
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="TASK...",
    help="Only these tasks: difference, which_image, same_or_different, grounding, edit_instruction, commonality.  "
    "[default: all that have samples]",
)
@click.option("--clean", is_flag=True, help="Leave the images clean: the question says where to look, in numbers.")
@click.option(
    "--single-image", is_flag=True, help="Both images in one picture, a 20 pixel bar between: for single-image models."
)
@shards_option
@as_json_option
def export(
    format_name: str,
    out: Path,
    tasks: Sequence[str],
    clean: bool,
    single_image: bool,
    shards: Sequence[str],
    as_json: bool,
) -> None:
    """Write the kept samples as a trainer reads them, the regions they are about in red boxes.

    \b
    llava       {id, image: [two paths], conversations} in train.json and validation.json; images/
    sharegpt    LLaMA-Factory: {messages, images}, and the dataset_info.json that names them
    swift       ms-swift: {messages, images, objects} in train.jsonl; boxes as <bbox>
    hf          Hugging Face datasets: data/*.parquet with Image columns, and a dataset card
    webdataset  train-SHARD.tar of SAMPLE.first.png, SAMPLE.second.png, SAMPLE.json
    coco        annotations/train.json: boxes of both images as [x, y, width, height]; clean images
    imgdiff     the released Img-Diff layout: path + _0.jpg, _1.jpg, bbox, captions1, captions2

    Training samples that are near-duplicates of validation samples of another shard are left out, and named in
    export.json. The folder is there whole or not at all: what was stopped goes on when the command is given again, and
    the same samples give the same bytes.

    \b
    imgdiff export --format llava --out exports/llava
    imgdiff export --format llava --single-image --task difference which_image --out exports/one_picture
    imgdiff export --format hf --clean --out exports/hf
    """
    from imgdiff_assets.export.exporting import export as export_samples
    from imgdiff_assets.ingest.shards import known_shards
    from imgdiff_assets.ledger.ledger import Ledger
    from imgdiff_assets.method.tasks import task_named

    home = Home.from_environment()
    ledger = Ledger(home.ledger)
    chosen = set(known_shards(home, shards)) if shards else set(ledger.shards("fine_tune_set"))
    options = Options(tuple(sorted({task_named(name).name for name in tasks})) or None, not clean, single_image)
    with ProgressBars() as progress:
        report = export_samples(ledger, sorted(chosen), format_name, out, options, progress)
    if as_json:
        echo_json({"out": str(out), **report})
        return
    click.echo(
        f"{out}: " + ", ".join(f"{counted(count, f'{split} sample')}" for split, count in report["samples"].items())
    )
    if len(report["tasks"]) > 1:
        click.echo("  " + ", ".join(f"{name} {count:,}" for name, count in sorted(report["tasks"].items())))
    if left_out := report["near_duplicates_left_out"]:
        click.echo(
            f"  {counted(len(left_out), 'near-duplicate')} of validation samples left out; export.json names them"
        )
