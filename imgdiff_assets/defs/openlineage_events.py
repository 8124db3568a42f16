"""An OpenLineage event for each table that a run makes, for those who keep the lineage of more than this project.

It is asked for by telling OpenLineage's client where to: in OPENLINEAGE_URL, OPENLINEAGE_CONFIG, or variables that
begin with OPENLINEAGE__TRANSPORT.
"""

import os
import uuid
from typing import TYPE_CHECKING

from imgdiff_assets.defs.column_descriptions import column_description
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store.store import size_of
from imgdiff_assets.stages.stage import Stage

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

NAMESPACE = "imgdiff_assets"
FILES = "file"
"""The namespace of datasets that are files, whose names are their paths."""


def asked_for() -> bool:
    """Whether the environment says where events go."""
    return any(
        name.startswith(("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE__TRANSPORT")) for name in os.environ
    )


def emit(record: Materialization, stage: Stage, ledger: Ledger) -> None:
    """Send the event of a table. Raises whatever the client and its transport do."""
    from openlineage.client import OpenLineageClient

    OpenLineageClient().emit(event_of(record, stage, ledger))


def event_of(record: Materialization, stage: Stage, ledger: Ledger) -> "RunEvent":
    """The table as the output of a finished run of its own, which has an id that follows from the graph's run."""
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
    from openlineage.client.facet_v2 import output_statistics_output_dataset, schema_dataset

    columns = [
        schema_dataset.SchemaDatasetFacetFields(field.name, str(field.type), column_description(stage, field))
        for field in stage.schema
    ]
    path = ledger.table_path(stage.name, record.shard)
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=record.rows, size=size_of(path)
    )
    return RunEvent(
        eventType=RunState.COMPLETE,
        eventTime=record.finished_at,
        producer="https://github.com/OpenLineage/OpenLineage/tree/main/client/python",
        run=Run(str(uuid.uuid5(uuid.NAMESPACE_OID, f"{record.run_id}/{stage.name}/{record.shard}"))),
        job=Job(NAMESPACE, stage.name),
        inputs=[InputDataset(FILES, str(ledger.table_path(parent, record.shard))) for parent in stage.tables],
        outputs=[
            OutputDataset(
                FILES,
                str(path),
                outputFacets={"outputStatistics": statistics},
                facets={"schema": schema_dataset.SchemaDatasetFacet(columns)},
            )
        ],
    )
