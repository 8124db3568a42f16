"""Uses the installed parts of `docs/extend.md` as people would, and prints what came of it as JSON.

In IMGDIFF_HOME is a home that was made without them. A process of its own, for the graph is built when it is imported.
"""

import json
from dataclasses import asdict
from typing import Any

import dagster as dg
import pyarrow.compute as pc
import yaml
from click.testing import CliRunner
from starlette.testclient import TestClient

from imgdiff_assets.browser.app import create_app
from imgdiff_assets.browser.site import Site
from imgdiff_assets.cli.main import main
from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.defs.whole_graph import build_definitions
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.editions import SHIPPED
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stages_of
from imgdiff_assets.statistics.funnel import funnel
from resources.catalog import Catalog
from tests.installed_packages import MISTAKES

SHARD = "shard-000000"
HOME = Home.from_environment()
LEDGER = Ledger(HOME.ledger)


def call(*arguments: str) -> dict[str, Any]:
    """A command: its exit status, and what it prints; a JSON document as one."""
    result = CliRunner().invoke(main, arguments)
    told = (
        json.loads(result.stdout) if "--json" in arguments and result.stdout.startswith(("{", "[")) else result.stdout
    )
    return {"status": result.exit_code, "told": told, "error": result.stderr}


def recipe_file(min_brightness: float, max_shift: float, **samples: Any) -> str:
    """A recipe that names filter and stage, with these thresholds, and has some settings of `fine_tune_set`."""
    values = yaml.safe_load((SHIPPED / "miniature.yaml").read_text(encoding="utf-8"))
    values["filtered_pairs"]["filters"] = {"too_dark": {"min_brightness": min_brightness}}
    values["palettes"] = {"max_shift": max_shift}
    shipped = values["fine_tune_set"]
    questions = {**shipped["questions"], **samples.get("questions", {})}
    values["fine_tune_set"] = {**shipped, **samples, "questions": questions}
    path = HOME.root.parent / f"recipe_{len(samples)}.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return str(path)


def kept(recipe: Recipe) -> dict[str, list[str]]:
    """By stage, the ids of the kept rows."""
    ids = {stage.name: stage.id_column for stage in stages_of(recipe)}
    return {name: sorted(scan(LEDGER, name, [ids[name]], pc.field("kept"))[ids[name]].to_pylist()) for name in ids}


def state(recipe: Recipe) -> dict[str, Any]:
    """What the ledger holds, as far as the recipe has it."""
    return {
        "kept": kept(recipe),
        "funnel": [asdict(stage) for stage in funnel(LEDGER, [SHARD], stages_of(recipe)).stages],
        "records": {
            stage.name: record
            for stage in stages_of(recipe)
            if (record := LEDGER.record(stage.name, SHARD)) is not None
        },
    }


def rows(stage: str, *columns: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = scan(LEDGER, stage, columns).to_pylist()
    return found


def pages(recipe: Recipe, *addresses: str) -> dict[str, dict[str, Any]]:
    with TestClient(create_app(Site(HOME, recipe)), base_url="http://localhost:8080") as client:
        answers = {address: client.get(address) for address in addresses}
    return {address: {"status": answer.status_code, "text": answer.text} for address, answer in answers.items()}


def launchpad(recipe: Recipe) -> dict[str, Any]:
    """The recipe's fields in the launchpad, with the values that are told of the recipe."""

    def told(description: str | None) -> str:
        return (description or "").rpartition("The recipe has ")[2]

    def fields(config: Any) -> dict[str, Any]:
        return {
            name: fields(field.config_type) if hasattr(field.config_type, "fields") else told(field.description)
            for name, field in config.fields.items()
        }

    job = build_definitions(HOME, recipe).resolve_implicit_global_asset_job_def()
    return fields(job.resource_defs["recipe"].config_schema.as_field().config_type)


def run_from_launchpad(recipe: Recipe, overridden: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """A Dagster run with some of the recipe's values overridden; its asset checks: asset, name, whether it passed."""
    definitions = build_definitions(HOME, recipe)
    with dagster_instance(HOME) as instance:
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            partition_key=SHARD,
            asset_selection=[dg.AssetKey(stage.name) for stage in stages_of(recipe)],
            run_config={
                "resources": {"recipe": {"config": overridden}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )
    evaluated = [
        event for event in result.all_events if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    checks = [event.asset_check_evaluation_data for event in evaluated]
    return [(check.asset_key.to_user_string(), check.check_name, check.passed) for check in checks]


def installed_but_not_named() -> dict[str, Any]:
    recipe = load_recipe()
    return {
        "run": call("run", "--json"),
        "recipe_hash": recipe.hash,
        "columns": LEDGER.column_names("filtered_pairs", SHARD),
        "stats": call("stats", "--json"),
        "what_if": call("what-if", "--set", "filtered_pairs.min_similarity=0.5", "--json"),
        "lineage": call("lineage", rows("image_pairs", "pair_id")[0]["pair_id"], "--json"),
        "rebuilt": call("catalog", "rebuild", "--json"),
        "pages": pages(recipe, "/", "/shards", "/gallery?stage=filtered_pairs", "/certificate", "/review"),
        "page_of_the_stage": pages(recipe, "/gallery?stage=palettes"),
        "doctor": call("doctor", "--json"),
        "launchpad": launchpad(recipe),
        "assets": sorted(key.to_user_string() for key in build_definitions(HOME, recipe).resolve_all_asset_keys()),
    }


def named() -> dict[str, Any]:
    """Measured once; then the thresholds are moved one way by the launchpad, and another by a command."""
    path = recipe_file(0.0, 1.0)
    recipe, by = load_recipe(path), ("--recipe", path, "--json")
    facts: dict[str, Any] = {
        "foretold": call("what-if", *by),
        "planned": call("run", "--dry-run", *by),
        "run": call("run", *by),
        "launchpad": launchpad(recipe),
        **state(recipe),
    }
    least, middle, most = sorted(row["brightness"] for row in rows("filtered_pairs", "brightness"))
    dark, darker = (least + middle) / 2, (middle + most) / 2
    shift = sum(row["colour_shift"] for row in rows("palettes", "colour_shift")) / 3
    key = "filtered_pairs.filters.too_dark.min_brightness"
    facts["darker"] = {
        "threshold": darker,
        "foretold": call("what-if", *by, "--set", f"{key}={darker}"),
        "planned": call("run", "--dry-run", *by, "--set", f"{key}={darker}"),
        "swept": call("what-if", *by, "--sweep", f"{key}=0:1:2"),
        "checks": run_from_launchpad(
            recipe, {"filtered_pairs": {"filters": {"too_dark": {"min_brightness": darker}}}}
        ),
        **state(recipe),
    }
    moved = ("--set", f"{key}={dark}", f"palettes.max_shift={shift}")
    facts["lighter"] = {
        "threshold": dark,
        "foretold": call("what-if", *by, *moved),
        "run": call("run", *by, *moved),
        **state(recipe),
    }
    wordings = {"difference": ["installed:formal"]}
    return {**facts, "shown": shown(recipe_file(dark, shift, tasks=["difference", "count_words"], questions=wordings))}


def shown(path: str) -> dict[str, Any]:
    """All that tells of the parts, which have rejected some rows; and samples of the task."""
    recipe, by = load_recipe(path), ("--recipe", path, "--json")
    run = call("run", *by)
    samples = rows("fine_tune_set", "sample_id", "task", "pair_id", "answer", "conversations", "first", "kept")
    # Of the tasks' samples, one about a pair that both judges let pass.
    kept_pairs = kept(recipe)["palettes"]
    sample = next(row for row in samples if row["kept"] and row["pair_id"] in kept_pairs)
    dark = next(row["pair_id"] for row in rows("filtered_pairs", "pair_id", "rejected_by") if row["rejected_by"])
    pair, sample_id = sample["pair_id"], sample["sample_id"]
    facts = {
        "run": run,
        "pair": pair,
        "sample": sample_id,
        "samples": samples,
        "captions": rows("prompt_pairs", "pair_id", "source_caption", "target_caption"),
        "stats": call("stats", "--json"),
        "doctor": call("doctor", *by),
        "lineage": call("lineage", pair, *by),
        "lineage_of_a_dark_pair": call("lineage", dark, "--recipe", path),
        "replays": {name: call("replay", name, *by) for name in (pair, sample_id)},
        "rebuilt": call("catalog", "rebuild", "--json"),
        "views": [
            Catalog(HOME.catalog).query(f"SELECT {column} FROM {view}").num_rows
            for view, column in (("filtered_pairs", "brightness"), ("palettes", "colour_shift"))
        ],
        "pages": pages(
            recipe,
            "/",
            "/shards",
            "/gallery?stage=palettes&verdict=all&sort=palettes.colour_shift",
            "/gallery?stage=filtered_pairs&reason=too_dark",
            "/gallery?score=filtered_pairs.brightness&low=0.1",
            "/certificate?score=filtered_pairs.brightness",
            f"/row/{pair}",
            f"/row/{sample_id}",
        ),
        "report": call("report", "--recipe", path, "--out", str(HOME.root / "report.html")),
        "release": call("release", *by),
        "switched_off": call(
            "run", "--dry-run", *by, "--set", "palettes=null", "filtered_pairs.filters.too_dark=null"
        ),
        "switched_on": load_recipe(None, ["palettes={}", "filtered_pairs.filters.too_dark={}"]).model_dump(),
        **state(recipe),
    }
    facts["card"] = (HOME.releases / "1" / "README.md").read_text(encoding="utf-8")
    facts["manifest"] = json.loads((HOME.releases / "1" / "release.json").read_text(encoding="utf-8"))
    return facts


def named_no_more() -> dict[str, Any]:
    return {
        "foretold": call("what-if", "--json"),
        "planned": call("run", "--dry-run", "--json"),
        "run": call("run", "--select", "filtered_pairs", "--json"),
        **state(load_recipe()),
    }


def mistaken() -> dict[str, dict[str, Any]]:
    """What is said of values that cannot be."""
    return {override: call("run", "--set", override) for override in MISTAKES}


if __name__ == "__main__":
    facts = {"off": installed_but_not_named(), "on": named(), "off_again": named_no_more(), "mistaken": mistaken()}
    print(json.dumps(facts, default=str))
