"""How long `imgdiff what-if` takes on many candidate rows.

    python -m benchmarks.what_if [--regions 100000] [--repeats 5] [--json FILE]

The ledger is made up: chance scores in the tables' real columns, judged by the stages' own filters, without the
branch of erased regions. Each question is asked several times; the medians are of the seconds that passed and of the
processor's own, which do not depend on what else the machine does.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import SCHEMA, shard_keys
from imgdiff_assets.ledger.cells import is_image
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.tables import write_table
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Derivation, Measurement
from imgdiff_assets.what_if.sweep import sweep
from imgdiff_assets.what_if.what_if import WhatIf, what_if
from resources.miniature.scenes import OBJECTS, random_caption

RECIPE = load_recipe(
    "miniature",
    [
        "filtered_pairs.min_similarity=0.2",
        "filtered_pairs.max_similarity=0.95",
        "bounding_boxes.max_region_similarity=0.8",
        "bounding_boxes.min_match=0.3",
        "captions.max_caption_similarity=0.9",
        "captions.min_match=0.3",
        "captions.min_agreement=0.3",
        "removed_pairs.enabled=false",
    ],
)
QUESTIONS = (
    "filtered_pairs.min_similarity=0.3",
    "bounding_boxes.min_match=0.4",
    "bounding_boxes.max_region_similarity=0.9",
    "captions.min_match=0.4",
    "prompt_pairs.max_object_words=1",
)
SWEEP = "filtered_pairs.min_similarity=0.2:0.8:7"
NOT_MADE = ("removed_pairs", "removal_captions")
REGIONS_PER_PAIR = 5
PAIRS_PER_SHARD = 1_000
Arrays = dict[str, npt.NDArray[Any]]


def build_ledger(root: Path, regions: int, recipe: Recipe = RECIPE) -> Home:
    """A home with about `regions` candidate rows in `bounding_boxes`, and in the other tables what goes with them."""
    home = Home(root)
    home.create()
    chance = np.random.default_rng(0)
    texts = [random_caption(random.Random(seed)) for seed in range(500)]
    pairs = round(regions / REGIONS_PER_PAIR / 0.75)  # of which filtered_pairs keeps three quarters
    for number, start in enumerate(range(0, pairs, PAIRS_PER_SHARD)):
        shard, size = f"shard-{number:06d}", min(PAIRS_PER_SHARD, pairs - start)
        columns: Arrays = {
            "caption_id": _digits(chance, size, 8),
            "source_caption": chance.choice(texts, size).astype(object),
        }
        captions = [columns["caption_id"], columns["source_caption"], np.repeat("made up", size), np.arange(size)]
        pq.write_table(pa.table(captions, schema=SCHEMA), home.captions / f"{shard}.parquet")
        for stage in STAGES:
            if stage.name == "bounding_boxes":
                columns = {name: values.repeat(REGIONS_PER_PAIR) for name, values in columns.items()}
            if stage.name not in NOT_MADE:
                columns = _write_stage(Ledger(home.ledger), stage, shard, columns, recipe, chance)
    return home


def _write_stage(
    ledger: Ledger, stage: Stage, shard: str, parents: Arrays, recipe: Recipe, chance: np.random.Generator
) -> Arrays:
    """Make up and judge one table, a row for each of `parents`; returns the kept rows."""
    size = len(parents["caption_id"])
    items = {column.name for column in stage.item_columns}
    schema = pa.schema([column for column in stage.schema if not is_image(column)])
    columns = {
        column.name: parents[column.name] if column.name in items & parents.keys() else _values(column, size, chance)
        for column in schema
    }
    of_recipe = stage.under(recipe).schema.names
    columns |= {name: np.full(size, None) for name in columns if name not in of_recipe}
    if stage.name == "bounding_boxes":
        for low, high in (("x1", "x2"), ("y1", "y2")):
            columns[high] = columns[low] + chance.uniform(0.1, 1, size)
    columns["rejected_by"] = _judge(stage, columns, recipe)
    columns["kept"] = np.equal(columns["rejected_by"], None)
    record = Materialization(
        asset=stage.name,
        shard=shard,
        run_id="made up",
        recipe=recipe.name,
        recipe_hash=recipe.hash,
        settings_hash="made up",
        code_version=stage.code_version,
        inputs_hash=content_hash(dict.fromkeys(stage.parents, "made up")),
        output_hash="made up",
        seed=recipe.seed,
        settings=stage.settings(recipe).model_dump(mode="json"),
        made_with=stage.values(recipe, stage.item_settings),
        models={role: getattr(recipe.models, role).identity() for role in stage.under(recipe).roles},
    )
    table = pa.table([pa.array(columns[column.name], column.type) for column in schema], schema=schema)
    write_table(ledger.table_path(stage.name, shard), schema, table, [], record.to_json())
    return {name: values[columns["kept"]] for name, values in {**parents, **columns}.items()}


def _values(column: pa.Field, size: int, chance: np.random.Generator) -> npt.NDArray[Any]:
    """Scores between 0 and 1, ids and fingerprints in their lengths, names of objects; nothing in other columns."""
    if column.name in ("filled", "erased_from", "match_margin", "same_similarity", "asked_kind", "change_kind"):
        return np.full(size, None)
    if column.name == "validation_bits":
        return np.full(size, 64)
    if pa.types.is_floating(column.type):
        return chance.uniform(0, 1, size)
    if column.name == "review":
        return chance.choice(np.array([None, "accept", "reject"]), size)
    if pa.types.is_integer(column.type):
        return np.full(size, 0 if column.name == "attempt" else 1)
    if column.name.endswith("_fingerprint"):
        return _digits(chance, size, 32)
    if column.name.endswith("_id"):
        return _digits(chance, size, 8)
    if pa.types.is_string(column.type) and column.name not in ("error", "rejected_by"):
        return chance.choice(OBJECTS, size).astype(object)
    return np.full(size, None)


def _digits(chance: np.random.Generator, size: int, length: int) -> npt.NDArray[Any]:
    """Random numbers of `length` bytes, in hexadecimal digits."""
    return np.array([chance.bytes(length).hex() for _ in range(size)], dtype=object)


def _judge(stage: Stage, columns: Arrays, recipe: Recipe) -> npt.NDArray[Any]:
    """The filter that rejects each row, or None; what comes after a rejection was not measured."""
    settings, scores = stage.settings(recipe), dict(columns)
    rejected_by = np.full(len(columns["rejected_by"]), None)
    alive = np.arange(len(rejected_by))
    for step in stage.under(recipe).steps:
        if isinstance(step, Measurement):
            columns[step.fingerprint_column][~np.isin(np.arange(len(rejected_by)), alive)] = None
        elif isinstance(step, Derivation):
            values = step.compute({name: scores[name][alive] for name in step.reads}, step.own(settings))
            scores[step.column.name] = np.zeros(len(rejected_by), values.dtype)
            scores[step.column.name][alive] = values
        else:
            passes = step.judge({name: scores[name][alive] for name in step.reads}, settings)
            rejected_by[alive[~passes]] = step.name
            alive = alive[passes]
    return rejected_by


@dataclass(frozen=True, slots=True)
class Answer:
    """One question: medians of the seconds that passed and of the processor's, and what came out."""

    question: str
    seconds: float
    processor_seconds: float
    outcome: str


def ask(question: str, repeats: int, answer: Callable[[], str]) -> Answer:
    """Ask a question several times."""
    clocks = (time.perf_counter, time.process_time)
    times, outcome = [], ""
    for _ in range(repeats):
        started = [clock() for clock in clocks]
        outcome = answer()
        times.append([clock() - start for clock, start in zip(clocks, started, strict=True)])
    passed, used = np.median(times, axis=0).round(3).tolist()
    return Answer(question, passed, used, outcome)


def _outcome(answer: WhatIf) -> str:
    last = answer.stages[-1]
    to_measure = sum(item.rows for item in answer.to_measure)
    return f"{last.present.kept:,} → {last.then.kept:,} samples, {to_measure:,} rows to measure"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=100_000, help="candidate rows of bounding_boxes")
    parser.add_argument("--repeats", type=int, default=5, help="how often each question is asked (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = build_ledger(Path(folder), arguments.regions)
        shards = shard_keys(home)
        made = [stage for stage in STAGES if stage.name not in NOT_MADE]
        rows = {stage.name: sum(_rows(home, stage, shard) for shard in shards) for stage in made}
        print(f"{len(shards)} shards; rows: " + ", ".join(f"{name} {count:,}" for name, count in rows.items()))
        print(f"\n{'question':<42}{'seconds':>8}{'processor':>11}")
        answers = []
        for override in QUESTIONS:
            recipe = override_recipe(RECIPE, [override])
            answers.append(ask(override, arguments.repeats, partial(_ask_what_if, home, recipe, shards)))
        answers.append(ask(SWEEP, arguments.repeats, partial(_ask_sweep, home, shards)))
        for answer in answers:
            times = f"{answer.seconds:>8.2f}{answer.processor_seconds:>11.2f}"
            print(f"{answer.question:<42}{times}   {answer.outcome}")
    if arguments.json:
        command = f"python -m benchmarks.what_if --regions {arguments.regions} --repeats {arguments.repeats}"
        values = {"command": command, "rows": rows, "answers": [asdict(answer) for answer in answers]}
        arguments.json.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _ask_what_if(home: Home, recipe: Recipe, shards: Sequence[str]) -> str:
    return _outcome(what_if(home, recipe, shards))


def _ask_sweep(home: Home, shards: Sequence[str]) -> str:
    return f"{len(sweep(home, RECIPE, shards, SWEEP).points)} values"


def _rows(home: Home, stage: Stage, shard: str) -> int:
    return int(pq.read_metadata(Ledger(home.ledger).table_path(stage.name, shard)).num_rows)


if __name__ == "__main__":
    main()
