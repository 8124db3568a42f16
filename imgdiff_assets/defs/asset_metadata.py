"""What the web UI shows of an asset, and of one materialisation of one shard. It plots the numbers over time."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.defs.column_descriptions import column_description
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.pictures.inline_sheet import kept_and_rejected
from imgdiff_assets.stages.stage import ERROR_PREFIX, UPSTREAM, Stage

# Links to the source are marked as beta.

MEBIBYTE = 2**20


def definition_metadata(stage: Stage) -> dict[str, Any]:
    """The columns of the stage's table, and where its code is."""
    columns = [
        dg.TableColumn(field.name, type=str(field.type), description=column_description(stage, field))
        for field in stage.schema
    ]
    path = inspect.getsourcefile(stage.items) or ""
    _, line = inspect.getsourcelines(stage.items)
    source = dg.LocalFileCodeReference(file_path=path, line_number=line, label="what it measures and filters")
    return {
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[source]),
    }


def definition_description(stage: Stage) -> str:
    """What the stage does, and each of its filters with its setting."""
    lines = []
    for step in stage.filters:
        setting = f" (`{step.setting}`)" if step.threshold else ""
        lines.append(f"- **{step.name}**{setting}: {step.reason}")
    return "\n".join([stage.description.strip(), *(["", "Rejected are rows because of", "", *lines] if lines else [])])


def materialization_metadata(
    record: Materialization, stage: Stage, ledger: Ledger, browser_url: str, report: Path, pictures: bool = True
) -> dict[str, Any]:
    """Pictures and tables first, then the numbers; the `report` if there is one.

    Without `pictures` there are none: they are most of what an event costs.
    """
    metadata = _examples(ledger, stage, record.shard) if pictures else {}
    if not record.changed:
        metadata["unchanged_since"] = f"{record.finished_at} (run {record.run_id})"
    if record.filters or record.rejections:
        metadata["rejections"] = table_of(_rejections(record, stage))
    if browser_url:
        url = f"{browser_url.rstrip('/')}/gallery?stage={stage.name}&shard={record.shard}"
        metadata["browse"] = dg.MetadataValue.url(url)
    if report.exists():
        metadata["report"] = dg.MetadataValue.path(str(report))
    judged = record.rows - record.rejections.get(UPSTREAM, 0)
    metadata |= _costs(record, stage) | {
        "dagster/row_count": record.rows,
        "rows_in": record.rows_in,
        "kept": record.kept,
        "keep_rate": round(record.kept / judged, 4) if judged else 0.0,
        "measured": record.measured,
        "reused": record.reused,
        "errors": record.errors,
        "changed": record.changed,
    }
    for statistic in record.filters:
        score = next((step.score for step in stage.filters if step.name == statistic.filter), None)
        if score and stage.range_of(score) and None not in (statistic.p05, statistic.p50, statistic.p95):
            metadata[f"{score}_median"] = statistic.p50
            metadata[f"{score}_spread"] = round((statistic.p95 or 0) - (statistic.p05 or 0), 6)
    return metadata


def table_of(rows: Sequence[Row]) -> dg.TableMetadataValue:
    """One row at least as a table; Dagster takes only rows that have the same fields."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return dg.MetadataValue.table([dg.TableRecord({name: row.get(name, "") for name in names}) for row in rows])


def _costs(record: Materialization, stage: Stage) -> dict[str, Any]:
    """Seconds of each measurement; and a table by model, with its memory at the peak where that was recorded."""
    costs: dict[str, Any] = {"seconds": record.seconds, "model_calls": sum(record.calls.values())}
    if record.changed and record.measured:
        costs["items_per_second"] = round(record.measured / max(record.seconds, 1e-3), 3)
    costs |= {f"{step}_seconds": seconds for step, seconds in record.step_seconds.items() if record.calls.get(step)}
    rows: list[dict[str, Any]] = [
        {
            "model": role,
            "measurement": step.name,
            "rows": record.calls.get(step.name, 0),
            "seconds": record.step_seconds.get(step.name, 0.0),
            "peak_memory_mib": round(record.peak_memory.get(role, 0) / MEBIBYTE, 1),
        }
        for step in stage.measurements
        for role in step.roles
        if record.calls.get(step.name)
    ]
    models = {"models": table_of(rows)} if rows else {}
    return models | costs


def _examples(ledger: Ledger, stage: Stage, shard: str) -> dict[str, Any]:
    """Pictures of some rows. One that cannot be drawn fails no run: a check looks after damaged images."""
    try:
        examples = kept_and_rejected(ledger, stage, shard)
    except (ValueError, OSError) as error:
        return {"examples": f"cannot be drawn: {error}"}
    return {f"{name}_examples": dg.MetadataValue.md(markdown) for name, markdown in examples.items()}


def _rejections(record: Materialization, stage: Stage) -> list[Row]:
    """One row for each filter, in order; then errors, and rows whose parent is rejected now."""
    rows: list[Row] = []
    reasons = {step.name: step.reason for step in stage.filters}
    for statistic in record.filters:
        rows.append(
            {
                "rejected_by": statistic.filter,
                "rejected": statistic.rejected,
                "seen": statistic.seen,
                "share": round(statistic.rejected / statistic.seen, 4) if statistic.seen else 0.0,
                "threshold": "" if statistic.threshold is None else str(statistic.threshold),
                "because": reasons.get(statistic.filter, ""),
            }
        )
    for name, count in sorted(record.rejections.items()):
        if name == UPSTREAM or name.startswith(ERROR_PREFIX):
            because = "its parent is rejected now" if name == UPSTREAM else "it failed; tried again next time"
            share = round(count / record.rows, 4)
            row = {"rejected_by": name, "rejected": count, "seen": record.rows, "share": share, "threshold": ""}
            rows.append({**row, "because": because})
    return rows
