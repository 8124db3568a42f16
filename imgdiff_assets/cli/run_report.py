"""What a run of the graph did, in words and as JSON values."""

from dataclasses import asdict, dataclass, field
from typing import Any

from imgdiff_assets.common.plain_text import counted, listed

LISTED_SHARDS = 3


@dataclass(slots=True)
class RunReport:
    """What a run of the graph did: Dagster's run ids, the records of what was materialised, one sentence per failure.

    `fresh` are the shards that were up to date already, for which nothing was run; `made_at` is when the last of their
    tables was made, `left_failed` how many of their rows could not be measured. `failed_checks` has a sentence for
    each check that failed; one that blocks what is below is among the failures too. `pending` has one for each table
    that waits for the answers of a batch service, which a later run collects.
    """

    fresh: list[str] = field(default_factory=list)
    made_at: str | None = None
    left_failed: int = 0
    run_ids: list[str] = field(default_factory=list)
    materializations: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    failed_checks: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"succeeded": self.succeeded, **asdict(self)}

    def to_text(self) -> str:
        """What was written and measured by which runs, and what was up to date."""
        lines = []
        if self.run_ids:
            measured = sum(sum(record["calls"].values()) for record in self.materializations)
            tables = counted(len(self.materializations), "table")
            lines.append(f"{tables} written, {counted(measured, 'measurement')} made; run {', '.join(self.run_ids)}")
        if self.fresh:
            there = "Nothing to do, up to date" if not self.run_ids else "up to date"
            lines.append(f"{there} already: {', '.join(listed(self.fresh, LISTED_SHARDS))}")
        if self.fresh and not self.run_ids and self.made_at is not None:
            lines.append(f"No caption, setting or model is another than when they were made, {self.made_at[:16]} UTC.")
        if self.left_failed:
            rows = counted(self.left_failed, "row")
            lines.append(f"{rows} of them failed and had all their tries (`imgdiff run --retry-failed`)")
        lines += [f"Pending: {sentence}" for sentence in self.pending]
        return "\n".join(lines)
