"""Dagster for real: its web server, daemon and run workers over a small home, driven by GraphQL and in a browser.

The tests stand in the order of a story, over one deployment: captions arrive, thresholds change, runs are cancelled.
The slow ones can be left out, or run without the others.
"""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.editions import SHIPPED
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

CAPTIONS = (
    "a red ball on the grass",
    "a blue boat on the sea",
    "a yellow house on the snow",
    "a green tree on the sand",
)
SHARDS = ["shard-000000", "shard-000001"]
REPOSITORY = {"repositoryLocationName": "imgdiff_assets.definitions", "repositoryName": "__repository__"}
IMPORTED = ("gql", "graphene", "sitecustomize", "usercustomize", "resources", "uvicorn", "torch", "multiprocessing")
"""Modules that Dagster's processes and ours look for; files of these names lie in the current folder."""

FINISHED = {"SUCCESS", "FAILURE", "CANCELED"}
PATIENCE = 300.0
LISTENS = "0A"
"""The state of a socket in /proc/net/tcp."""

METADATA = """query($asset: String!, $shard: String!) { assetOrError(assetKey: {path: [$asset]}) { ... on Asset {
  assetMaterializations(limit: 1, partitions: [$shard]) { runId metadataEntries { label
    ... on IntMetadataEntry { intValue } ... on FloatMetadataEntry { floatValue }
    ... on BoolMetadataEntry { boolValue } ... on MarkdownMetadataEntry { mdStr }
    ... on UrlMetadataEntry { url } ... on TableMetadataEntry { table { records } } } } } } }"""
LAUNCH = """mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } } } }"""
SCHEDULE = """mutation($schedule: ScheduleSelector!, $now: Float!) {
  scheduleDryRun(selectorData: $schedule, timestamp: $now) { __typename
  ... on PythonError { message } ... on DryRunInstigationTick { evaluationResult {
    skipReason error { message } runRequests { tags { key value } assetSelection { path } } } } } }"""
SENSOR = """mutation($sensor: SensorSelector!) { sensorDryRun(selectorData: $sensor, cursor: "{}") { __typename
  ... on PythonError { message } ... on DryRunInstigationTick { evaluationResult {
    skipReason error { message } runRequests { runKey } } } } }"""
VALID = """query($selector: PipelineSelector!, $config: RunConfigData) {
  isPipelineConfigValid(pipeline: $selector, runConfigData: $config, mode: "default") { __typename
  ... on RunConfigValidationInvalid { errors { reason } } } }"""
BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) { __typename
  ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""


class Deployment:
    """A running `imgdiff ui` over one home, and its GraphQL interface."""

    backfill = ""

    def __init__(self, root: Path) -> None:
        self.home = Home(root / "home")
        self.recipe = root / "recipe.yaml"
        self.change_recipe()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
        environment |= {"IMGDIFF_HOME": str(self.home.root), "IMGDIFF_RECIPE": str(self.recipe)}
        self.folder = root / "current folder"
        self.folder.mkdir()
        for name in IMPORTED:
            (self.folder / f"{name}.py").write_text(f"open({str(root / 'executed')!r}, 'a').write({name!r})")
        self.executed = root / "executed"
        self.process = subprocess.Popen(
            # As the command `imgdiff` does it, which does not look into the current folder itself.
            [sys.executable, "-P", "-m", "imgdiff_assets.cli.main", "ui", "--port", str(self.port)],
            env=environment,
            cwd=self.folder,
            start_new_session=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()

    def change_recipe(self, **sections: dict[str, Any]) -> None:
        """The miniature recipe with fewer steps, a quick inbox, and values of these sections."""
        values = yaml.safe_load((SHIPPED / "miniature.yaml").read_text(encoding="utf-8"))
        values["models"]["pair_generator"]["num_inference_steps"] = 4
        values["automation"] = {"inbox_seconds": 1, "shard_size": 2}
        for name, section in sections.items():
            target = values["models"] if name in values["models"] else values
            target[name] = {**target.get(name, {}), **section}
        self.recipe.write_text(yaml.safe_dump(values), encoding="utf-8")

    def graphql(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.address}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        (data,) = answer["data"].values()
        assert "message" not in data, data["message"]
        return data

    def launch(
        self, assets: list[str], first: str, last: str, config: Any = None, checks: list[Any] | None = None
    ) -> str:
        """Start a run; a range of one shard is a shard."""
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        if first == last:
            tags = {"dagster/partition": first}
        selector = {**REPOSITORY, "jobName": "__ASSET_JOB", "assetSelection": [{"path": [name]} for name in assets]}
        params = {
            "selector": {**selector, "assetCheckSelection": checks},
            "runConfigData": config or {},
            "executionMetadata": {"tags": [] if checks else [{"key": key, "value": tags[key]} for key in tags]},
        }
        answer = self.graphql(LAUNCH, params=params)
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def status(self, run_id: str) -> str:
        query = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        return str(self.graphql(query, id=run_id)["status"])

    def runs(self) -> list[dict[str, Any]]:
        query = "{ runsOrError(limit: 50) { ... on Runs { results { runId status tags { key value } } } } }"
        results: list[dict[str, Any]] = self.graphql(query)["results"]
        return results

    def finish(self, run_id: str) -> str:
        return wait(lambda: status if (status := self.status(run_id)) in FINISHED else "")

    def metadata(self, asset: str, shard: str) -> dict[str, Any]:
        """The latest materialisation's metadata by label."""
        (latest,) = self.graphql(METADATA, asset=asset, shard=shard)["assetMaterializations"]
        entries = {}
        for entry in latest["metadataEntries"]:
            label = entry.pop("label")
            entries[label] = next(iter(entry.values()), None)
        return {**entries, "run_id": latest["runId"]}

    def tick(self) -> tuple[list[tuple[dict[str, str], list[str]]], str | None]:
        """A tick of the schedule: its requests (tags, assets), and why there is none."""
        schedule = {**REPOSITORY, "scheduleName": "stale_shards"}
        result = self.graphql(SCHEDULE, schedule=schedule, now=time.time())["evaluationResult"]
        assert result["error"] is None, result["error"]
        requests = [
            (
                {tag["key"]: tag["value"] for tag in request["tags"]},
                [key["path"][0] for key in request["assetSelection"]],
            )
            for request in result["runRequests"] or ()
        ]
        return requests, result["skipReason"]


def wait(answer: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """What `answer` gives once it is true."""
    deadline = time.monotonic() + patience
    while not (result := answer()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.3)
    return result


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path_factory.mktemp("deployment"))
    yield deployment
    if deployment.process.poll() is None:
        os.killpg(deployment.process.pid, signal.SIGINT)
    deployment.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def first_run(deployment: Deployment) -> dict[str, Any]:
    """What the daemon itself, for nobody ticks the sensor, makes of a file of captions, and of one that is none."""
    working = deployment.home.inbox / "captions.txt.part"
    working.write_text("\n".join(CAPTIONS), encoding="utf-8")
    working.rename(deployment.home.inbox / "captions.txt")
    (deployment.home.inbox / "captions.doc").write_text("no captions")
    (run,) = wait(deployment.runs)
    return {**run, "status": deployment.finish(run["runId"])}


def test_the_first_line_says_where(deployment: Deployment) -> None:
    assert f"The web UI is at {deployment.address} (Ctrl-C stops it" in deployment.first_line


def test_captions_in_the_inbox_are_ingested_and_run_as_one_range(
    deployment: Deployment, first_run: dict[str, Any]
) -> None:
    tags = {tag["key"]: tag["value"] for tag in first_run["tags"]}
    assert (tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]) == tuple(SHARDS)
    assert first_run["status"] == "SUCCESS"
    assert sorted(path.name for path in (deployment.home.inbox / "done").iterdir()) == ["captions.txt"]
    assert (deployment.home.inbox / "failed" / "captions.doc.error.txt").exists()
    sensor = {**REPOSITORY, "sensorName": "inbox"}
    result = deployment.graphql(SENSOR, sensor=sensor)["evaluationResult"]
    assert (result["error"], result["runRequests"] or []) == (None, []), "even with its cursor lost"


@pytest.mark.usefixtures("first_run")
def test_a_materialisation_tells_how_much_how_good_and_how_long(deployment: Deployment) -> None:
    pairs = deployment.metadata("filtered_pairs", SHARDS[0])
    assert (pairs["rows_in"], pairs["measured"], pairs["reused"], pairs["errors"], pairs["changed"]) == (
        2,
        2,
        0,
        0,
        True,
    )
    assert pairs["keep_rate"] == pairs["kept"] / 2
    assert -1 <= pairs["image_similarity_median"] <= 1
    assert pairs["items_per_second"] > 0 < pairs["compare_seconds"]
    with urllib.request.urlopen(f"{deployment.address}{pairs['browse']}", timeout=PATIENCE) as gallery:
        assert SHARDS[0] in gallery.read().decode()
    rejections = [json.loads(record) for record in pairs["rejections"]["records"]]
    assert [row["rejected_by"] for row in rejections] == ["too_different", "too_similar"]
    (model,) = [json.loads(record) for record in pairs["models"]["records"]]
    assert (model["model"], model["rows"]) == ("image_text_encoder", 2)
    boxes = deployment.metadata("bounding_boxes", SHARDS[1])
    pictures = [boxes[name] for name in ("kept_examples", "rejected_examples") if name in boxes]
    assert pictures
    assert all(re.match(r"!\[pairs\]\(data:image/webp;base64,[A-Za-z0-9+/=]+\)$", picture) for picture in pictures)
    assert sum(map(len, pictures)) < 150_000


@pytest.mark.slow
@pytest.mark.usefixtures("first_run")
def test_a_changed_threshold_only_judges_and_then_nothing_is_asked_for(deployment: Deployment) -> None:
    assert deployment.tick() == ([], "Every shard is up to date, or in the hands of a run.")
    deployment.change_recipe(filtered_pairs={"min_similarity": 0.01})
    ((tags, assets),) = deployment.tick()[0]
    assert assets == [name for name in STAGE_NAMES if name not in ("prompt_pairs", "image_pairs")]
    first, last = tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]
    assert [first, last] == SHARDS
    run = deployment.launch(assets, first, last)
    assert deployment.tick()[0] == [], "the run holds them"
    assert deployment.finish(run) == "SUCCESS"
    for shard in SHARDS:
        judged = deployment.metadata("filtered_pairs", shard)
        assert (judged["run_id"], judged["changed"], judged["measured"], judged["model_calls"]) == (run, True, 0, 0)
        assert judged["reused"] == judged["rows_in"]
        assert deployment.metadata("captions", shard)["model_calls"] == 0
    assert deployment.tick()[0] == []


@pytest.mark.slow
@pytest.mark.usefixtures("first_run")
def test_a_changed_model_asks_for_its_stage_and_what_depends_on_it(deployment: Deployment) -> None:
    deployment.change_recipe(filtered_pairs={"min_similarity": 0.01}, captioner={"max_new_tokens": 20})
    ((_, assets),) = deployment.tick()[0]
    assert assets[0] == "captions"
    assert not {"prompt_pairs", "image_pairs", "filtered_pairs", "bounding_boxes"} & set(assets)
    deployment.change_recipe(filtered_pairs={"min_similarity": 0.01})
    assert deployment.tick()[0] == []


@pytest.mark.slow
def test_a_launchpad_takes_three_lines_and_its_words_are_no_booleans(deployment: Deployment) -> None:
    selector = {**REPOSITORY, "pipelineName": "what_if"}
    for section in ("filtered_pairs: {min_similarity: 0.85}", "prompt_pairs: {known_words: [on, no]}"):
        config = f"resources:\n  recipe:\n    config: {{{section}}}\n"
        answer = deployment.graphql(VALID, selector=selector, config=config)
        assert answer == {"__typename": "PipelineConfigValidationValid"}, answer


@pytest.mark.slow
@pytest.mark.usefixtures("first_run")
def test_a_backfill_of_some_shards_is_taken(deployment: Deployment) -> None:
    """Dagster looks for backfills every 30 seconds; what became of it is asked further down."""
    params = {"assetSelection": [{"path": ["fine_tune_set"]}], "partitionNames": [SHARDS[1]]}
    deployment.backfill = deployment.graphql(BACKFILL, params=params)["backfillId"]


@pytest.mark.slow
@pytest.mark.usefixtures("first_run")
def test_a_cancelled_run_leaves_tables_and_gpu_free(deployment: Deployment) -> None:
    table = Ledger(deployment.home.ledger).table_path("image_pairs", SHARDS[0])
    before = table.read_bytes()
    slow = {"resources": {"pair_generator": {"config": {"num_inference_steps": 999}}}}
    run = deployment.launch(["image_pairs"], SHARDS[0], SHARDS[0], slow)
    wait(lambda: (deployment.home.dagster / "live" / run).exists())
    time.sleep(1)
    deployment.graphql("mutation($id: String!) { terminateRun(runId: $id) { __typename } }", id=run)
    assert deployment.finish(run) == "CANCELED"
    assert table.read_bytes() == before
    assert deployment.finish(deployment.launch(["image_pairs"], SHARDS[0], SHARDS[0])) == "SUCCESS"
    assert deployment.metadata("image_pairs", SHARDS[0])["changed"] is False


@pytest.mark.slow
@pytest.mark.usefixtures("first_run")
def test_the_browser_shows_graph_metadata_and_a_failed_check(
    deployment: Deployment, page: "Page", tmp_path: Path
) -> None:
    pictures = Path(os.environ.get("IMGDIFF_SCREENSHOTS") or tmp_path)
    said: list[str] = []
    page.context.on("console", lambda message: said.append(message.text))

    def look(path: str, *texts: str) -> None:
        page.goto(f"{deployment.address}{path}")
        for text in texts:
            page.get_by_text(text, exact=True).first.wait_for(timeout=60_000)

    look("/asset-groups", *STAGE_NAMES)
    page.screenshot(path=pictures / "graph.png")
    look(f"/assets/filtered_pairs?view=partitions&partition={SHARDS[0]}", "keep_rate", "image_similarity_median")
    with page.context.expect_page() as opened:
        page.locator("a[href^='/samples/gallery']").first.click()
    gallery = opened.value
    gallery.locator("a.card").first.click()
    gallery.locator("a[href^='/runs/']").first.click()
    gallery.get_by_text("STEP_SUCCESS").first.wait_for(timeout=60_000)
    gallery.screenshot(path=pictures / "run.png")
    assert [text for text in said if "Content Security Policy" in text] == []
    page.get_by_text("[Show Markdown]").first.click()
    image = page.locator("img[src^='data:image/webp']").first
    image.wait_for()
    assert image.evaluate("image => image.complete && image.naturalWidth > 900")
    assert image.bounding_box()["width"] <= 984
    page.screenshot(path=pictures / "metadata.png")

    path = Ledger(deployment.home.ledger).table_path("filtered_pairs", SHARDS[0])
    with pq.ParquetFile(path) as file:
        table = file.read()
    rows = [{**row, "image_similarity": 1.5} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    check = {"assetKey": {"path": ["filtered_pairs"]}, "name": "scores_in_range"}
    assert deployment.finish(deployment.launch([], "", "", checks=[check])) == "SUCCESS"
    look("/assets/filtered_pairs?view=checks&checkDetail=scores_in_range", "scores_in_range", "offending_rows")
    page.get_by_text("image_similarity is 1.5, not from -1 to 1").first.wait_for()
    page.screenshot(path=pictures / "failed_check.png")


@pytest.mark.slow
@pytest.mark.usefixtures("first_run")
def test_the_backfill_found_its_shard_fresh(deployment: Deployment) -> None:
    tag = {"key": "dagster/backfill", "value": deployment.backfill}
    (run,) = wait(lambda: [run["runId"] for run in deployment.runs() if tag in run["tags"]])
    assert deployment.finish(run) == "SUCCESS"
    fresh = deployment.metadata("fine_tune_set", SHARDS[1])
    assert (fresh["run_id"], fresh["changed"], fresh["measured"]) == (run, False, 0)


@pytest.mark.usefixtures("first_run")
def test_no_module_of_the_current_folder_was_executed(deployment: Deployment) -> None:
    assert not deployment.executed.exists(), deployment.executed.read_text()


def test_nothing_listens_but_the_door(deployment: Deployment) -> None:
    """Not on another port; and sockets are in a folder that is closed to others."""
    processes = processes_of(deployment.home)
    inodes = {inode for process in processes for inode in sockets_of(process)}
    ports, folders = set(), set()
    for line in [*Path("/proc/net/tcp").read_text().splitlines(), *Path("/proc/net/tcp6").read_text().splitlines()]:
        fields = line.split()
        if fields[3] == LISTENS and fields[9] in inodes:
            ports.add(fields[1])
    for line in Path("/proc/net/unix").read_text().splitlines():
        fields = line.split()
        if fields[6] in inodes and len(fields) == 8:
            folders.add(Path(fields[7]).parent)
    assert ports == {f"0100007F:{deployment.port:04X}"}
    assert folders
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_ctrl_c_leaves_no_process_behind(deployment: Deployment) -> None:
    assert len(processes_of(deployment.home)) > 4
    os.killpg(deployment.process.pid, signal.SIGINT)
    assert deployment.process.wait(60) == 0
    assert processes_of(deployment.home) == []


def test_a_port_in_use_is_said_with_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("IMGDIFF_RECIPE", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, ["ui", "--port", str(port)])
    assert result.exit_code == 1
    assert f"--port {port} cannot be used (Address already in use)" in result.stderr
    assert "--port 0" in result.stderr


def sockets_of(process: int) -> list[str]:
    """The inodes of its sockets."""
    found = []
    for descriptor in Path(f"/proc/{process}/fd").glob("*"):
        with suppress(OSError):
            found += re.findall(r"^socket:\[(\d+)\]$", os.readlink(descriptor))
    return found


def processes_of(home: Home) -> list[int]:
    """The processes that were started for a home, known by their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"DAGSTER_HOME={home.dagster}".encode() in environment and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found
