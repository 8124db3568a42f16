"""Uses the installed parts of `docs/extend.md` as people would, and prints what came of it as JSON.

`python -m tests.installed_parts_driver HOME`: HOME was made without them. A process of its own, for the graph is built
when it is imported.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click.testing
import dagster as dg
import pyarrow.compute as pc
from starlette.testclient import TestClient

from imgdiff_assets.browser.app import create_app
from imgdiff_assets.browser.site import Site
from imgdiff_assets.cli.main import main
from imgdiff_assets.cli.run import dagster_instance, run
from imgdiff_assets.definitions import build_definitions
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.recipe.recipe import Recipe, load_recipe
from imgdiff_assets.statistics.funnel import funnel
from imgdiff_assets.what_if.judgement import StoredScores
from imgdiff_assets.what_if.what_if import WhatIf, what_if

SHARD = "shard-000000"
DARK = "filtered_pairs.filters.too_dark"
TASKS = "fine_tune_set.tasks=[difference, count_words]"
WORDED = "fine_tune_set.questions={difference: ['installed:formal']}"


class Driver:
    def __init__(self, home: Home) -> None:
        self.home, self.ledger = home, Ledger(home.ledger)
        self.plain = load_recipe()
        self.facts: dict[str, Any] = {}

    def command(self, *arguments: str) -> dict[str, Any]:
        result = click.testing.CliRunner().invoke(main, arguments)
        return {"exit": result.exit_code, "stdout": result.stdout, "stderr": result.stderr}

    def kept(self, *names: str) -> dict[str, list[str]]:
        """The ids of the kept rows."""
        return {
            name: sorted(scan(self.ledger, name, [column], pc.field("kept"))[column].to_pylist())
            for name, column in (
                ("filtered_pairs", "pair_id"),
                ("palettes", "pair_id"),
                ("bounding_boxes", "region_id"),
                ("fine_tune_set", "sample_id"),
            )
            if name in names or not names
        }

    def pages(self, recipe: Recipe, addresses: Sequence[str]) -> dict[str, Any]:
        with TestClient(create_app(Site(self.home, recipe)), base_url="http://localhost:8080") as client:
            answers = {address: client.get(address) for address in addresses}
        return {address: {"status": answer.status_code, "text": answer.text} for address, answer in answers.items()}

    def off(self) -> None:
        """Installed, and not named."""
        report = run(self.home, self.plain)
        self.facts["off"] = {
            "runs": report.run_ids,
            "columns": self.ledger.column_names("filtered_pairs", SHARD),
            "stats": self.command("stats", "--json"),
            "what_if": self.command("what-if", "--set", "filtered_pairs.min_similarity=0.5", "--json"),
            "dry_run": self.command("run", "--dry-run"),
            "pages": self.pages(self.plain, ["/", "/gallery?stage=filtered_pairs", "/shards", "/gallery?stage=palettes"]),
            "doctor": self.command("doctor", "--json"),
            "launchpad": launchpad(self.home, self.plain),
            "assets": sorted(
                key.to_user_string()
                for key in build_definitions(self.home, self.plain).resolve_asset_graph().get_all_asset_keys()
            ),
        }


def launchpad(home: Home, recipe: Recipe) -> dict[str, Any]:
    """The fields that the recipe has in the launchpad, with their defaults."""
    job = build_definitions(home, recipe).resolve_implicit_global_asset_job_def()
    return _defaults(job.resource_defs["recipe"].config_schema.as_field().config_type)


def _defaults(config_type: Any) -> Any:
    return {
        name: _defaults(field.config_type) if getattr(field.config_type, "fields", None) else field.default_value
        for name, field in config_type.fields.items()
        if name in ("filtered_pairs", "palettes") or "filtered_pairs" not in config_type.fields
    }


if __name__ == "__main__":
    driver = Driver(Home(Path(sys.argv[1])))
    driver.off()
    print(json.dumps(driver.facts, default=str))
