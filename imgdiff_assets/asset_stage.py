"""What every asset of the graph does: run its stage over the partitions of the run, and report each of them."""

import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from imgdiff_assets.catalog_index import index, refresh_view
from imgdiff_assets.home_resource import HomeResource
from imgdiff_assets.inputs import OUTSIDE, MissingInput, read_inputs
from imgdiff_assets.ledger import Ledger
from imgdiff_assets.materialization import Materialization
from imgdiff_assets.materialize import ShardFailed, materialize
from imgdiff_assets.models import Models
from imgdiff_assets.partitions import SHARDS
from imgdiff_assets.progress import logging_progress, telling
from imgdiff_assets.recipe_resource import RecipeResource
from imgdiff_assets.shards import ShardError
from imgdiff_assets.stage import Stage
from resources.catalog import CatalogUnavailable
from resources.dagster_resources import RoleResource

KINDS = {
    "prompt_rewriter": "huggingface",
    "pair_generator": "pytorch",
    "image_text_encoder": "pytorch",
    "image_text_matcher": "huggingface",
    "segmenter": "pytorch",
    "captioner": "huggingface",
    "inpainter": "pytorch",
}
OWNER = "team:imgdiff"

# All shards of a request go into one run, which loads each model once; the option is marked as beta.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)


def asset_arguments(stage: Stage) -> dict[str, Any]:
    """The arguments of `dg.asset` that follow from the stage."""
    return {
        "name": stage.name,
        "deps": [parent for parent in stage.parents if parent not in OUTSIDE],
        "partitions_def": SHARDS,
        "backfill_policy": dg.BackfillPolicy.single_run(),
        "pool": "gpu",
        "group_name": "image_difference",
        "kinds": {"parquet", *(KINDS[role] for role in stage.roles)},
        "owners": [OWNER],
        "code_version": stage.code_version,
        "description": stage.description,
    }


def run_asset(
    context: dg.AssetExecutionContext,
    stage: Stage,
    home: HomeResource,
    recipe: RecipeResource,
    roles: Mapping[str, RoleResource],
) -> None:
    """Bring the stage's table of every partition of this run up to date.

    A shard that fails does not stop the others: their materialisations are recorded before the failure is raised.
    """
    settings = {role: resource.settings for role, resource in roles.items()}
    models = Models(settings, {role: resource.open for role, resource in roles.items()})
    values = recipe.recipe(settings)
    ledger = Ledger(home.home.ledger)
    keys = list(context.partition_keys)
    done: list[Materialization] = []
    failures: list[str] = []
    for key in keys:
        try:
            record = materialize(
                stage,
                key,
                read_inputs(stage, home.home, key),
                values,
                ledger,
                models,
                context.run.run_id,
                log=telling(context.log.warning),
                progress=logging_progress(context.log.info),
            )
        except (ShardFailed, MissingInput, ShardError, OSError) as error:
            failures.append(str(error))
            context.log.error(str(error))
            written = isinstance(error, ShardFailed)
        else:
            done.append(record)
            written = record.changed
        if written and (stored := ledger.record(stage.name, key)) is not None:
            with _warned_of_the_catalog(context):
                index(home.home, [stored])
    with _warned_of_the_catalog(context):
        refresh_view(home.home, stage)
    if failures:
        for record in done:
            context.log_event(
                dg.AssetMaterialization(stage.name, partition=record.shard, metadata=metadata_of(record, stage))
            )
        raise dg.Failure("\n".join(failures), allow_retries=False)
    for record in done:
        context.add_asset_metadata(metadata_of(record, stage), partition_key=record.shard)


@contextmanager
def _warned_of_the_catalog(context: dg.AssetExecutionContext) -> Iterator[None]:
    """The catalog is an index: whatever is wrong with it fails no run."""
    try:
        yield
    except CatalogUnavailable as error:
        context.log.warning(f"{error} The ledger has everything; `imgdiff catalog rebuild` makes the catalog anew.")


def metadata_of(record: Materialization, stage: Stage) -> dict[str, Any]:
    """What the web UI shows, and plots over time, of one materialisation."""
    share = record.kept / record.rows_in if record.rows_in else 0.0
    metadata: dict[str, Any] = {
        "dagster/row_count": record.rows,
        "rows_in": record.rows_in,
        "kept": record.kept,
        "kept_per_row_in": share,
        "measured": record.measured,
        "reused": record.reused,
        "errors": record.errors,
        "seconds": record.seconds,
        "changed": record.changed,
        "model_calls": dg.MetadataValue.json(record.calls),
    }
    if record.filters:
        metadata["filters"] = dg.MetadataValue.table(
            records=[
                dg.TableRecord({name: _cell(value) for name, value in dataclasses.asdict(statistic).items()})
                for statistic in record.filters
            ]
        )
    return metadata


def _cell(value: Any) -> str | int | float | bool:
    return "" if value is None else value
