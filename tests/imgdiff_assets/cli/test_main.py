"""The command line: what it prints, what it refuses, and how it exits."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest
import yaml
from click.testing import CliRunner, Result

from imgdiff_assets.cli.main import main
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import ACCEPT, RANDOM, Review, add_review
from imgdiff_assets.recipe.editions import SHIPPED
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES

SHARDS = ["shard-000000", "shard-000001", "shard-000002"]


def fails_with_one_sentence(result: Result, words: str) -> None:
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), "no other exception reaches the user"
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**{name: os.environ[name] for name in os.environ if name != "DAGSTER_HOME"}, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def commands(group: click.Group, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its name as it is typed, those of groups too."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        else:
            yield (*above, name), command


COMMANDS = dict(commands(main))


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_help_of_every_command_teaches_by_an_example(name: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*name, "--help"])
    assert result.exit_code == 0
    assert f"\n  imgdiff {' '.join(name)}" in result.stdout
    assert result.stdout.count("\n") > 8


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_a_command_is_in_the_file_of_its_name(name: tuple[str, ...]) -> None:
    assert COMMANDS[name].callback.__module__ == f"imgdiff_assets.cli.{name[0].replace('-', '_')}"


def test_help_names_the_environment_and_every_command() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert {"IMGDIFF_HOME", "IMGDIFF_RECIPE", *(name[0] for name in COMMANDS)} <= set(
        result.stdout.replace(".", " ").split()
    )


def test_help_and_statistics_load_nothing_heavy(drawn_home: Home) -> None:
    code = (
        "import sys; from imgdiff_assets.cli.main import main; main({!r}, standalone_mode=False); "
        "heavy = {{'torch', 'diffusers', 'transformers', 'dagster', 'pyarrow'}}; "
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    for arguments, loaded in ((["--help"], "[]\n"), (["stats"], "['pyarrow']\n")):
        done = python(code.format(arguments), IMGDIFF_HOME=str(drawn_home.root))
        assert (done.returncode, done.stderr) == (0, loaded)


def test_libraries_are_rarely_looked_through_for_garbage_while_they_load() -> None:
    code = """
import contextlib, gc, sys
from imgdiff_assets.cli.main import command
sys.argv = ["imgdiff", "--version"]
with contextlib.suppress(SystemExit):
    command()
before = [each["collections"] for each in gc.get_stats()]
import imgdiff_assets.definitions
print(*(each["collections"] - past for each, past in zip(gc.get_stats(), before)), gc.isenabled())
"""
    young, middle, full, on = python(code).stdout.splitlines()[-1].split()
    assert int(full) <= 1, "Python would look three times"
    assert on == "True"
    assert min(int(young), int(middle)) > 10, "young garbage is let go as ever"


def test_ingest_tells_what_became_of_every_line(invoke: Any, tmp_path: Path) -> None:
    good = tmp_path / "good.txt"
    good.write_text("a red ball on the grass\na red ball on the grass\na \x07bell\na blue cup on the sea\n")
    result = invoke(tmp_path / "home", "ingest", str(good), str(tmp_path / "missing.txt"))
    assert result.exit_code == 0, "some captions were taken"
    assert "2 new captions in 1 shard (shard-000000); 1 known already; 1 rejected" in result.stdout
    assert f"rejected {good}:3: caption: has the control character U+0007" in result.stdout
    assert f"Error: {tmp_path / 'missing.txt'}: cannot be read" in result.stderr
    again = invoke(tmp_path / "home", "ingest", str(good), "--json")
    assert again.exit_code == 0
    report = json.loads(again.stdout)
    assert (report["accepted"], report["duplicates"], report["shards"]) == (0, 3, [])
    assert report["rejected"][0]["line"] == 3


def test_ingest_tells_what_can_be_drawn_and_may_be_tried_first(invoke: Any, tmp_path: Path) -> None:
    file = tmp_path / "captions.txt"
    file.write_text("a red ball on the grass\ntwo dogs\n")
    tried = invoke(tmp_path / "home", "ingest", str(file), "--dry-run")
    assert tried.stdout.startswith("Dry run, nothing was written: 2 new captions in 1 shard (shard-000000)\n1 of 2")
    assert not (tmp_path / "home").exists()
    done = invoke(tmp_path / "home", "ingest", str(file))
    assert (
        "1 of 2 captions names things that the miniature recipe cannot draw (dogs); `--recipe modern`" in done.stdout
    )
    assert "can draw all 2" in invoke(tmp_path / "other", "ingest", str(file), "--recipe", "modern").stdout


def test_version(invoke: Any, tmp_path: Path) -> None:
    assert re.fullmatch(r"imgdiff \d+\.\d+\.\d+\S*\n", invoke(tmp_path, "--version").stdout)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\n", b"\n \n"])
def test_ingest_of_nothing_usable_fails(invoke: Any, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "captions.txt"
    file.write_bytes(content)
    result = invoke(tmp_path / "home", "ingest", str(file))
    assert result.exit_code == 1
    assert str(file) in result.stderr
    assert "Traceback" not in result.stderr


def test_ingest_lists_only_the_first_rejections(invoke: Any, tmp_path: Path) -> None:
    file = tmp_path / "captions.txt"
    file.write_text("fine\n" + "".join(f"bad \x01 {number}\n" for number in range(100)))
    result = invoke(tmp_path / "home", "ingest", str(file))
    assert result.stdout.count("rejected /") == 20
    assert "... and 80 more" in result.stdout


def test_stats_as_text_and_json(invoke: Any, drawn_home: Home) -> None:
    text = invoke(drawn_home.root, "stats", "--shards", *SHARDS[:2])
    assert text.exit_code == 0
    assert "12 captions in 2 shards gave" in text.stdout
    whole = json.loads(invoke(drawn_home.root, "stats", "--json").stdout)
    assert whole["shards"] == SHARDS
    one = json.loads(invoke(drawn_home.root, "stats", "--json", "--shards", SHARDS[1]).stdout)
    assert (one["captions"], one["shards"]) == (2, [SHARDS[1]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stats", "--shards", "../../etc"], "'../../etc' is not a shard key"),
        (["stats", "--shards", "shard-000009"], "there are shard-000000 to shard-000002"),
        (["lineage", "ffffffffffffffff"], "no caption, pair, region or sample"),
        (["lineage", "$(rm -rf)"], "is not an id"),
        (["run", "--set", "filtered_pairs.min_similarty=0.8"], "did you mean 'min_similarity'?"),
        (["run", "--set", "filtered_pairs.min_similarity=high"], "filtered_pairs.min_similarity"),
        (["run", "--recipe", "nonesuch.yaml"], "nonesuch.yaml: no such recipe"),
        (["run", "--select", "filterd_pairs"], "'filterd_pairs' is not an asset"),
        (["run", "--shards", "shard-000000", "shard-000009"], "shard-000009: no such shard"),
        (["run", "--shards", "../x"], "'../x' is not a shard key"),
        (["lineage", "abcdef", "--recipe", "/"], "cannot be read"),
    ],
)
def test_mistakes_get_one_sentence(invoke: Any, own_home: Home, arguments: list[str], words: str) -> None:
    fails_with_one_sentence(invoke(own_home.root, *arguments), words)


@pytest.mark.parametrize("command", [["stats"], ["run"]])
def test_a_home_without_captions_says_what_to_do_first(invoke: Any, tmp_path: Path, command: list[str]) -> None:
    fails_with_one_sentence(invoke(tmp_path / "home", *command), "imgdiff ingest FILE")


def test_export_and_lineage_of_nothing(invoke: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    fails_with_one_sentence(invoke(home, "lineage", "abcdef"), "no caption")
    fails_with_one_sentence(
        invoke(home, "export", "--format", "llava", "--out", str(tmp_path / "out")), "no kept samples to export"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [["ingest", __file__], ["demo"]])
def test_a_home_that_cannot_be_written_is_named(invoke: Any, tmp_path: Path, command: list[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    fails_with_one_sentence(invoke(file / "home", *command), "point IMGDIFF_HOME at a folder of yours")


@pytest.mark.parametrize("arguments", [["nonesuch"], ["stats", "--nonesuch"], ["export", "--out", "x"], ["ingest"]])
def test_wrong_usage_exits_with_two(invoke: Any, tmp_path: Path, arguments: list[str]) -> None:
    assert invoke(tmp_path, *arguments).exit_code == 2


def test_lineage_as_text_and_json(invoke: Any, drawn_home: Home) -> None:
    row = Ledger(drawn_home.ledger).read("fine_tune_set", SHARDS[0]).to_pylist()[0]
    text = invoke(drawn_home.root, "lineage", row["sample_id"][:8])
    assert text.exit_code == 0
    assert f"└─ fine_tune_set {row['sample_id']}  kept ◀" in text.stdout
    tree = json.loads(invoke(drawn_home.root, "lineage", row["sample_id"], "--json").stdout)
    assert tree["table"] == "caption"
    assert tree["children"][0]["id"] == row["pair_id"]


def test_what_was_made_with_other_values_is_not_exported_without_a_word(
    invoke: Any, drawn_home: Home, tmp_path: Path
) -> None:
    done = invoke(drawn_home.root, "export", "--format", "llava", "--out", str(tmp_path / "out"))
    assert done.stderr.startswith("Warning: samples were made with other values than the miniature recipe has")
    assert "filtered_pairs.min_similarity: 0.7 → 0.0 (2 shards)" in done.stderr
    assert "(3 shards)" not in done.stderr
    assert "2 shards" in invoke(drawn_home.root, "recipe", "diff").stdout


def test_export_as_text_and_json(invoke: Any, drawn_home: Home, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = invoke(drawn_home.root, "export", "--format", "llava", "--out", str(out))
    assert result.exit_code == 0
    train = len(json.loads((out / "train.json").read_text()))
    assert f"{out}: {train} train samples" in result.stdout
    value = json.loads(invoke(drawn_home.root, "export", "--format", "llava", "--out", str(out), "--json").stdout)
    assert value["samples"]["train"] == train


def test_the_catalog_is_made_again_from_the_ledger(invoke: Any, own_home: Home) -> None:
    for _ in range(2):
        own_home.catalog.unlink(missing_ok=True)
        result = invoke(own_home.root, "catalog", "rebuild", "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["materializations"] == 2 * len(STAGE_NAMES)
        with duckdb.connect(own_home.catalog, read_only=True) as connection:
            answer = connection.execute("SELECT count(*), count(DISTINCT asset) FROM materializations").fetchone()
            samples = connection.execute("SELECT count(*) FROM fine_tune_set WHERE kept").fetchone()
        assert answer == (2 * len(STAGE_NAMES), len(STAGE_NAMES))
        assert samples is not None
        assert samples[0] > 0


def test_missing_weights_stop_a_run_with_one_sentence(invoke: Any, own_home: Home, tmp_path: Path) -> None:
    recipe = yaml.safe_load((SHIPPED / "miniature.yaml").read_text())
    recipe["models"]["prompt_rewriter"]["model"] = str(tmp_path / "no such folder")
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe))
    fails_with_one_sentence(invoke(own_home.root, "run", "--recipe", str(file)), "no such folder")


def test_rows_that_failed_are_tried_again_on_request(
    invoke: Any, own_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def run(*arguments: Any, **options: Any) -> None:
        asked.append(arguments[6])
        raise KeyboardInterrupt

    monkeypatch.setattr("imgdiff_assets.cli.run_graph.run_graph", run)
    for options in ([], ["--retry-failed"]):
        invoke(own_home.root, "run", *options)
    assert asked == [False, True]


def test_a_stopped_run_says_that_it_goes_on(invoke: Any, own_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("imgdiff_assets.cli.run_graph.run_graph", interrupted)
    fails_with_one_sentence(invoke(own_home.root, "run"), "the same command goes on from here")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "--allow-remote"),
        (["--host", "0.0.0.0", "--allow-remote"], "needs a token"),
        (["--token", "short"], "at least 16"),
        (["--dagster-url", "javascript:alert(1)"], "begins with http"),
        (["--host", "nonesuch.invalid.", "--allow-remote", "--token", "0123456789abcdef"], "try another port"),
        (["--recipe", "nonesuch.yaml"], "no such recipe"),
    ],
)
def test_browse_refuses_with_one_sentence(invoke: Any, drawn_home: Home, arguments: list[str], words: str) -> None:
    fails_with_one_sentence(invoke(drawn_home.root, "browse", "--port", "0", *arguments), words)


def test_browse_tells_a_port_in_use(invoke: Any, drawn_home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        fails_with_one_sentence(invoke(drawn_home.root, "browse", "--port", port), f"--port {port}")


def test_browse_ends_well_by_ctrl_c(drawn_home: Home) -> None:
    line = [sys.executable, "-m", "imgdiff_assets.cli.main", "browse", "--port", "0"]
    environment = {**os.environ, "IMGDIFF_HOME": str(drawn_home.root)}
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with urllib.request.urlopen(process.stdout.readline().split()[0], timeout=60) as page:
            assert page.status == 200
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, f"Reading {drawn_home.ledger} ...\n")


def test_certificate_and_report_as_text_and_json(invoke: Any, own_home: Home, tmp_path: Path) -> None:
    rows = Ledger(own_home.ledger).read("fine_tune_set", SHARDS[0]).to_pylist()
    assert "None of" in invoke(own_home.root, "certificate").stdout
    for row in rows:
        add_review(own_home, Review(row["sample_id"], SHARDS[0], "Ann", ACCEPT, queue=RANDOM))
    assert f"as {len(rows)} reviewed samples tell" in invoke(own_home.root, "certificate").stdout
    value = json.loads(invoke(own_home.root, "certificate", "--score", "captions.agreement", "--json").stdout)
    assert (value["overall"]["reviewed"], value["overall"]["accepted"]) == (len(rows), len(rows))
    fails_with_one_sentence(invoke(own_home.root, "certificate", "--score", "x"), "the scores are")
    out = tmp_path / "report.html"
    value = json.loads(invoke(own_home.root, "report", "--out", str(out), "--json").stdout)
    assert (value["report"], value["bytes"]) == (str(out), out.stat().st_size)
    assert value["funnel"]["captions"] == 12
    assert str(own_home.root / "report.html") in invoke(own_home.root, "report").stdout
