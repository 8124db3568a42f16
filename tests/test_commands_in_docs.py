"""Every command that a page or `--help` shows is run, one after the other; of those that are not, it is said why."""

import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from imgdiff_assets.cli.main import main
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from tests.pages import ROOT, commands_to_type

NOT_RUN = {
    "make ": ("is what this test is run by", ".ci/run", "make"),
    ". .venv/bin/activate": ("is for a shell", ".ci/run", "make"),
    "export IMGDIFF_HOME=": ("is for a shell", ".ci/run", "IMGDIFF_HOME"),
    "export IMGDIFF_LOCAL=": ("is for a shell", "tests/imgdiff_assets/ledger/store/test_s3.py", "IMGDIFF_LOCAL"),
    "export AWS_": ("is for a shell", "tests/imgdiff_assets/ledger/store/test_s3.py", "AWS_ENDPOINT_URL"),
    "ray start": ("begins a cluster", "tests/imgdiff_assets/engine/workers/conftest.py", "Cluster("),
    "python -m benchmarks.teaches": ("trains for hours", "", ""),
    "ssh -L ": ("needs a second machine", "", ""),
    "duckdb ": ("needs DuckDB's shell", "tests/imgdiff_assets/defs/test_catalog_index.py", "filter_statistics"),
    "imgdiff init ~/my_pairs": ("asks", "tests/imgdiff_assets/setup/test_new_home.py", "input=answers"),
    "watch -n ": ("goes on until Ctrl-C", "tests/imgdiff_assets/cli/test_status.py", "status"),
    "imgdiff ui": ("serves until Ctrl-C", "tests/imgdiff_assets/defs/test_web_ui.py", "deployment"),
    "imgdiff browse": ("serves until Ctrl-C", "tests/imgdiff_assets/cli/test_main.py", "browse_ends_well_by_ctrl_c"),
    "IMGDIFF_BROWSE_TOKEN=": ("serves until Ctrl-C", "tests/imgdiff_assets/browser/test_security.py", "token"),
    "imgdiff run --recipe small": ("needs models", "tests/imgdiff_assets/cli/test_models.py", "small"),
    "imgdiff ingest-images": ("wants an editor", "tests/imgdiff_assets/ingest/test_ingest_pictures.py", "ingest"),
    "imgdiff what-if --calibrate": ("needs a model", "tests/imgdiff_assets/what_if/test_calibration.py", "calibrat"),
    "imgdiff demo": ("takes a minute", ".ci/run", "make demo"),
    "IMGDIFF_HOME=/tmp/try imgdiff demo": ("takes a minute", ".ci/run", "make demo"),
    "imgdiff remove": ("names what is the reader's", "tests/imgdiff_assets/defs/test_takedown.py", '"remove"'),
    "imgdiff ingest s3://": ("needs a bucket", "tests/imgdiff_assets/ingest/test_given_in_buckets.py", "ingest("),
    "imgdiff ingest-pairs s3://": ("needs a bucket", "tests/imgdiff_assets/ingest/test_given_in_buckets.py", "pairs("),
    "imgdiff evaluate": ("asks what there is", "tests/imgdiff_assets/training/test_evaluating.py", "lmms"),
    "imgdiff train-config": ("reads what is exported", "tests/imgdiff_assets/training/test_config.py", "train-config"),
    "imgdiff release --compare-with": (
        "names what is the reader's",
        "tests/imgdiff_assets/release/test_contamination.py",
        "compare_with",
    ),
    "imgdiff release --push": (
        "publishes",
        "tests/imgdiff_assets/release/test_publishing.py",
        '"--push"',
    ),
    "imgdiff reviews import": (
        "wants a token by then",
        "tests/imgdiff_assets/round_trips/test_review_table.py",
        'run("import"',
    ),
    "imgdiff reviews from-label-studio": (
        "reads what Label Studio wrote",
        "tests/imgdiff_assets/round_trips/test_label_studio.py",
        'run("from-label-studio"',
    ),
    "imgdiff models pull": ("fetches gigabytes", "tests/resources/loading/test_downloads.py", "is_fetched"),
}
"""How commands begin that are not run here: why, the file that looks at the same instead, and words of it."""

MAY_FAIL = ("--recipe modern", "--recipe paper", "--strict")
"""What leaves with status 1 where weights are missing, or a check is not content with so few captions."""

ID = re.compile(r"3[0-9a-f]{5}(?:[0-9a-f]{10})?")
"""As it stands for the reader's own."""

CAPTIONS = ["a red ball on the grass", "a blue boat and a green tree on the sand", "a yellow house on the snow"]


def not_run(command: str) -> tuple[str, str, str] | None:
    return next((why for beginning, why in NOT_RUN.items() if command.startswith(beginning)), None)


def test_what_is_not_run_is_looked_at_elsewhere() -> None:
    commands = commands_to_type()
    assert len(commands) > 50
    for beginning, (_, file, words) in NOT_RUN.items():
        assert any(command.startswith(beginning) for command in commands), beginning
        assert not file or words in (ROOT / file).read_text(encoding="utf-8"), beginning
    others = [command for command in commands if not_run(command) is None and not command.startswith("imgdiff ")]
    assert others == [], "these are no commands of ours: say why they are not run"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader stands: beside the files that the pages name."""
    for name, caption in (
        ("captions", CAPTIONS),
        ("coco", ["a green cup on the road"]),
        ("more", ["a red kite on the sea"]),
    ):
        (tmp_path / f"{name}.txt").write_text("\n".join(caption) + "\n", encoding="utf-8")
    (tmp_path / "annotations.csv").write_text("text\na white star on the carpet\n", encoding="utf-8")
    for number, name in enumerate(["x_0", "x_1", "y", "y_retouched", "z", "z-retouched"]):
        picture(tmp_path / "photos" / f"{name}.png", number)
    for number, name in enumerate(["before", "after"], 6):
        picture(tmp_path / "images" / f"{name}.png", number)
    names = [str(Path("images") / name) for name in ("before.png", "after.png")]
    both = dict(zip(("before", "after"), names, strict=True)) | dict(zip(("input", "output"), names, strict=True))
    pq.write_table(pa.table({column: [name] for column, name in both.items()}), tmp_path / "edits.parquet")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "edits.csv").write_text(
        "source_image,target_image\nafter.png,before.png\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path / "home"))
    for variable in ("IMGDIFF_RECIPE", "DAGSTER_HOME"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def picture(path: Path, number: int) -> None:
    path.parent.mkdir(exist_ok=True)
    image = Image.new("RGB", (64, 64), (20 * number, 90, 200))
    image.paste((250, 20 * number, 30), (10, 10, 30 + number, 40))
    image.save(path)


@pytest.mark.slow
def test_every_command_is_run(files: Path) -> None:
    """Last those that run under another recipe: what is to be released is what was run under the reader's."""
    for command in sorted(commands_to_type(), key=lambda command: command.startswith("imgdiff run --set")):
        if not_run(command) is not None:
            continue
        words = shlex.split(command)[1:]
        if any(ID.fullmatch(word) for word in words):
            samples = Ledger(Home(files / "home").ledger).read("fine_tune_set", "shard-000000")["sample_id"]
            words = [samples[0].as_py()[: len(word)] if ID.fullmatch(word) else word for word in words]
        done = CliRunner().invoke(main, words)
        allowed = (0, 1) if any(option in command for option in MAY_FAIL) else (0,)
        assert done.exit_code in allowed, f"{command}: {done.output}"
        assert done.exception is None or isinstance(done.exception, SystemExit), command
