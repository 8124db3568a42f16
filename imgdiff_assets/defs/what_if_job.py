"""What-if as a job: its launchpad takes the values to try, and its run shows what they would do."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import dagster as dg

from imgdiff_assets.defs.asset_metadata import table_of
from imgdiff_assets.defs.names import Names
from imgdiff_assets.ingest.shards import shard_keys

if TYPE_CHECKING:
    from imgdiff_assets.what_if.what_if import WhatIf


def what_if_job(names: Names, roles: Collection[str]) -> dg.JobDefinition:
    """The job, of a recipe that names these roles; a run's is compared with what the tables were made with."""
    resources = ("home", "recipe", *roles)

    @dg.op(
        name=names.of("tell_what_it_would_do"),
        required_resource_keys=set(map(names.of, resources)),
        out=dg.Out(dg.Nothing),
        description="Judges the stored scores of all shards by the values given. No model is loaded, nothing changes.",
    )
    def tell(context: dg.OpExecutionContext) -> None:
        from imgdiff_assets.what_if.what_if import what_if

        home, recipe, *models = (getattr(context.resources, names.of(name)) for name in resources)
        values = recipe.recipe({role: resource.settings for role, resource in zip(roles, models, strict=True)})
        answer = what_if(home.home, values, shard_keys(home.home))
        context.log.info(answer.summary)
        context.add_output_metadata(what_if_metadata(answer))

    @dg.job(
        name=names.of("what_if"),
        executor_def=dg.in_process_executor,
        description="What other thresholds would keep, from the stored scores alone, in seconds: give them in the "
        "launchpad, and look at the run. The same lines in the launchpad of the assets make it so.",
    )
    def job() -> None:
        tell()

    return job


def what_if_metadata(answer: "WhatIf") -> dict[str, dg.MetadataValue]:
    """The report as it is printed, then its numbers as a table."""
    counts = [
        {
            "stage": stage.present.stage,
            "kept_now": stage.present.kept,
            "kept_then": stage.then.kept,
            "enter": len(stage.entering) + len(stage.entering_from),
            "leave": len(stage.leaving),
            "undecided": stage.undecided,
        }
        for stage in answer.stages
    ]
    return {"report": dg.MetadataValue.md(f"```\n{answer.to_text()}\n```"), "stages": table_of(counts)}
