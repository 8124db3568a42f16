"""Shards whose stages are others are judged apart, those of pictures and all others, and told together."""

from collections.abc import Iterable, Sequence

from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import PICTURES, held_by
from imgdiff_assets.statistics.funnel import StageFunnel
from imgdiff_assets.what_if.judgement import StoredScores


def scores_by_stages(home: Home, shards: Sequence[str]) -> list[StoredScores]:
    """The tables of the shards, those of pictures last; without shards, of none. Raises DamagedTable, ShardError."""
    pictures = {shard for shard in shards if held_by(home, shard) == PICTURES}
    groups = [[shard for shard in shards if (shard in pictures) == apart] for apart in (False, True)]
    return [StoredScores(home, group) for group in groups if group] or [StoredScores(home, [])]


def together(funnels: Sequence[StageFunnel]) -> StageFunnel:
    """One stage over several groups of shards."""
    first, *others = funnels
    if not others:
        return first
    return StageFunnel(
        stage=first.stage,
        shards=sum(funnel.shards for funnel in funnels),
        rows_in=sum(funnel.rows_in for funnel in funnels),
        rows=sum(funnel.rows for funnel in funnels),
        kept=sum(funnel.kept for funnel in funnels),
        upstream=sum(funnel.upstream for funnel in funnels),
        rejected=summed(funnel.rejected for funnel in funnels),
        errors=summed(funnel.errors for funnel in funnels),
    )


def summed(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Counts of the same names added, the names in the order in which they come."""
    result: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            result[name] = result.get(name, 0) + count
    return result
