"""What-if as a job: its launchpad takes the values to try, and its run shows what they would do."""

from typing import TYPE_CHECKING

import dagster as dg

from imgdiff_assets.defs.asset_metadata import table_of
from imgdiff_assets.defs.names import Names
from imgdiff_assets.defs.role_resources import ROLES
from imgdiff_assets.ingest.shards import shard_keys

if TYPE_CHECKING:
    from imgdiff_assets.what_if.what_if import WhatIf

RESOURCES = ("home", "recipe", *ROLES)


def what_if_job(names: Names) -> dg.JobDefinition:
    """The job; the run's recipe is compared with what the tables were made with."""

    @dg.op(
        name=names.of("tell_what_it_would_do"),
        required_resource_keys=set(map(names.of, RESOURCES)),
        out=dg.Out(dg.Nothing),
        description="Judges the stored scores of all shards by the values given. No model is loaded, nothing changes.",
    )
    def tell(context: dg.OpExecutionContext) -> None:
        from imgdiff_assets.what_if.what_if import what_if

        home, recipe, *roles = (getattr(context.resources, names.of(name)) for name in RESOURCES)
        values = recipe.recipe({role: resource.settings for role, resource in zip(ROLES, roles, strict=True)})
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
