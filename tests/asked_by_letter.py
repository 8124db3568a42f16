"""A home whose captions are rewritten by a batch service, and one run of that stage."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.replay import shared_models
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from tests.answering_server import MODEL
from tests.batch_server import BatchServer

SHARD = "shard-000000"
COLOURS = ("red", "blue", "green", "pink", "white")
OTHERWISE = {"run_id", "measured_at"}


def rewritten(request: Mapping[str, Any]) -> str:
    return f"a {colour_of(request)} cup on the grass"


def colour_of(request: Mapping[str, Any]) -> str:
    found = re.findall(r"an? (\w+) ball on the grass", request["messages"][0]["content"])
    return str(found[-1])


def new_home(folder: Path) -> Home:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "captions.txt").write_text("".join(f"a {colour} ball on the grass\n" for colour in COLOURS))
    home = Home(folder / "home")
    ingest([folder / "captions.txt"], home)
    return home


def asking(base_url: str, *more: str, batches: bool = True) -> Recipe:
    served = {"model": MODEL, "base_url": base_url, "batch_size": 2, "max_retries": 0, "batches": str(batches).lower()}
    told = [f"prompt_rewriter.{name}={value}" for name, value in served.items()]
    return load_recipe("miniature", ["prompt_pairs.answer_pattern='(?s)(?P<caption>.+)'", *told, *more])


def run(home: Home, recipe: Recipe, log: Callable[[str], None] = lambda text: None) -> Materialization:
    stage = stage_named("prompt_pairs").under(recipe)
    inputs = read_inputs(stage, home, SHARD)
    return materialize(stage, SHARD, inputs, recipe, Ledger(home.ledger), shared_models(recipe), "run", log)


def table(home: Home, name: str = "prompt_pairs", without: set[str] = OTHERWISE) -> pa.Table:
    found = Ledger(home.ledger).read(name, SHARD)
    return found.select([column for column in found.column_names if column not in without])


def paid_once(server: BatchServer) -> bool:
    return sorted(server.paid.values()) == [1] * len(COLOURS)
