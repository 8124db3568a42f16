"""What every asset of the graph does: run its stage over the partitions of the run, and report each of them."""

import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from imgdiff_assets.common.errors import REPORT, is_expected, sentence
from imgdiff_assets.common.progress import logging_progress, telling
from imgdiff_assets.defs.asset_metadata import definition_description, definition_metadata, materialization_metadata
from imgdiff_assets.defs.catalog_index import index, refresh_view
from imgdiff_assets.defs.events_together import shards_read_once, write_together
from imgdiff_assets.defs.gpu_places import POOL
from imgdiff_assets.defs.home_resource import PlacedHome
from imgdiff_assets.defs.names import Names
from imgdiff_assets.defs.openlineage_events import asked_for, emit
from imgdiff_assets.defs.partitions import no_shards
from imgdiff_assets.defs.recipe_resource import RecipeResource
from imgdiff_assets.defs.role_resources import ROLES, RoleResource
from imgdiff_assets.defs.workers_resource import WorkersResource
from imgdiff_assets.engine.by_letter import AnswersPending
from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import ShardFailed, materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.editions import note_edition
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.canaries import mistakes
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.stage import Stage
from resources.catalog import CatalogUnavailable
from resources.loading.failures import is_of_the_machine

OWNER = "team:imgdiff"
STAGE_TAG = "imgdiff/kind"
"""On the assets of stages, with the value `stage`: what schedules and sensors run."""

COMMON_RESOURCES = ("home", "recipe", "workers")
"""What every stage asks for."""

PICTURED = 8
"""Of so many shards of a run pictures are shown also where the table was fresh; of those that changed always."""

RETRY_TAG = "imgdiff/retry"
"""On a run that tries failed rows again, however often they were tried."""

AGAIN_TAG = "imgdiff/again"
"""On a run that measures again what an earlier release's code measured: nothing but a person's word asks for it."""

PENDING = "pending"
"""With an observation of a partition: what of its table is waited for, of a batch service, and since when."""


def asset_arguments(stage: Stage, names: Names) -> dict[str, Any]:
    """The arguments of `dg.asset` that follow from the stage."""
    return {
        "key": names.key(stage.name),
        "deps": list(map(names.key, stage.tables)),
        "partitions_def": names.shards,
        "dagster_type": dg.Nothing,
        "output_required": False,  # there is none while answers are waited for: what is below is skipped then
        "backfill_policy": dg.BackfillPolicy.single_run(),
        "pool": POOL,
        "group_name": "image_difference",
        "required_resource_keys": set(map(names.of, (*COMMON_RESOURCES, *stage.possible_roles))),
        "kinds": {"parquet", *(ROLES[role].library for role in stage.possible_roles)},
        "tags": {STAGE_TAG: "stage"},
        "owners": [OWNER],
        "code_version": stage.code_version,
        "description": definition_description(stage),
        "metadata": definition_metadata(stage),
    }


def run_asset(
    context: dg.AssetExecutionContext,
    stage: Stage,
    home: PlacedHome,
    recipe: RecipeResource,
    workers: WorkersResource,
    roles: Mapping[str, RoleResource],
) -> bool:
    """Bring the stage's table of every partition of this run up to date, and return whether all are.

    They are not while answers of a batch service are waited for. A shard that waits, or fails, does not stop the
    others. When the run fails or is cancelled, what was done is recorded.
    """
    if refusal := no_shards(home.home, context.partition_keys):
        raise dg.Failure(refusal, allow_retries=False)
    settings = {role: resource.settings for role, resource in roles.items()}
    models = LoadedModels(settings, {role: resource.open for role, resource in roles.items()})
    values = recipe.recipe(settings)
    refuse_blind_filters(stage, values)
    ledger = Ledger(home.home.ledger)
    note_edition(home.home, values.name)
    done: list[Materialization] = []
    failures: list[str] = []
    waiting = 0
    finished = False
    try:
        for key in context.partition_keys:
            try:
                own = stage_of_shard(stage, home.home, key).under(values)
                record = materialize(
                    own,
                    key,
                    read_inputs(own, home.home, key),
                    values,
                    ledger,
                    models,
                    context.run.run_id,
                    log=telling(context.log.warning),
                    progress=logging_progress(context.log.info),
                    retry=RETRY_TAG in context.run.tags,
                    again=AGAIN_TAG in context.run.tags,
                    measurer=workers.measurer,
                )
            except AnswersPending as pending:
                waiting += 1
                # It would say that the stages below go on without their checks: they are skipped.
                logging.getLogger("dagster._core.execution.plan.active").setLevel(logging.ERROR)
                context.log.info(sentence(pending))
                context.log_event(
                    dg.AssetObservation(context.asset_key, partition=key, metadata={PENDING: sentence(pending)})
                )
                written = False
            except Exception as error:
                failures.append(_logged(context, error, f"{stage.name} of {key}"))
                written = isinstance(error, ShardFailed)
            else:
                done.append(record)
                written = record.changed
            if written:
                # The one before too: its run may have been killed before it could say so.
                with _warned_of_the_catalog(context):
                    index(home.home, ledger.history(stage.name, key, last=2))
            if written and asked_for():
                with _warned_of_events(context):
                    emit(Materialization.from_json(ledger.record(stage.name, key) or {}), stage, ledger)
        if any(record.changed for record in done):
            with _warned_of_the_catalog(context):
                refresh_view(home.home, stage)
        finished = not failures and not waiting
    finally:
        pictured = {record.shard for record in done if record.changed}
        pictured |= {record.shard for record in done[:PICTURED]}
        write_together(context.instance)  # of a run that the web UI has started
        with shards_read_once(context.instance):
            for record in done:
                metadata = materialization_metadata(
                    record, stage, ledger, home.browser_url, home.home.report, record.shard in pictured
                )
                if finished:
                    context.add_asset_metadata(metadata, partition_key=record.shard)
                else:
                    context.log_event(
                        dg.AssetMaterialization(context.asset_key, partition=record.shard, metadata=metadata)
                    )
    if failures:
        raise dg.Failure("\n".join(failures), allow_retries=False)
    return finished


def _logged(context: dg.AssetExecutionContext, error: Exception, where: str) -> str:
    """What is said of a shard that failed; the traceback of a mistake of the program is told who hears, too."""
    if is_expected(error):
        context.log.error(sentence(error))
        return sentence(error)
    said = f"{where}: {error!r}"
    advice = "" if is_of_the_machine(error) else REPORT
    telling(context.log.error)(f"{said}\n{''.join(traceback.format_exception(error))}{advice}".rstrip())
    return said


def refuse_blind_filters(stage: Stage, recipe: Recipe) -> None:
    """The check `canaries` stops its own run; a later run of the stages below must not go on past it."""
    parents = [stage_named(parent) for parent in stage.tables]
    found = [mistake for parent in parents for mistake in mistakes(parent, parent.settings(recipe))]
    if found:
        raise dg.Failure("\n".join(found), allow_retries=False)


@contextmanager
def _warned_of_the_catalog(context: dg.AssetExecutionContext) -> Iterator[None]:
    """The catalog is an index: whatever is wrong with it fails no run."""
    try:
        yield
    except CatalogUnavailable as error:
        context.log.warning(f"{error} The ledger has everything; `imgdiff catalog rebuild` makes the catalog anew.")


@contextmanager
def _warned_of_events(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Whatever takes OpenLineage's events, the table is there."""
    try:
        yield
    except Exception as error:  # of the client, of its transport, of a server: there is no common class
        context.log.warning(f"OpenLineage was not told of a table: {error!r}. The ledger has its lineage.")
