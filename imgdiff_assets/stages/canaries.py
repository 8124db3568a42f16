"""No silent filter: each must reject the rows planted for it and keep the others, with the settings of this run."""

from collections.abc import Mapping, Sequence
from typing import Any

from imgdiff_assets.common.aliases import Booleans, Row
from imgdiff_assets.common.tables import columns_of_rows
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Derivation, Filter


def mistakes(stage: Stage, settings: Any) -> list[str]:
    """One sentence per planted row that a filter of the stage judges wrongly; none when all filters work.

    A derived column that planted rows lack is derived from those that they have, as it is from real rows: so a broken
    derivation is noticed as a broken filter is. Whatever a broken filter raises is a sentence too.
    """
    steps = [step for step in stage.steps if step.on(settings)]
    derivations = {step.column.name: step for step in steps if isinstance(step, Derivation)}
    filters = [step for step in steps if isinstance(step, Filter)]
    return [sentence for step in filters for sentence in _mistakes_of(step, derivations, settings)]


def _mistakes_of(step: Filter, derivations: Mapping[str, Derivation], settings: Any) -> list[str]:
    """In either order of the rows: a verdict that only follows the order is wrong in one of them."""
    canaries = step.canaries(step.own(settings))
    expected = [(row, True) for row in canaries.kept] + [(row, False) for row in canaries.rejected]
    try:
        passes = _judge(step, derivations, [row for row, _ in expected], settings)
        reverse = _judge(step, derivations, [row for row, _ in reversed(expected)], settings)[::-1]
    except Exception as error:
        return [f"the filter {step.name} cannot judge the rows planted for it: {type(error).__name__}: {error}"]
    sentences = []
    for (row, keep), *verdicts in zip(expected, passes, reverse, strict=True):
        if not all(passed == keep for passed in verdicts):
            verb = "rejects a row that it must keep" if keep else "keeps a row that it must reject"
            sentences.append(f"the filter {step.name} {verb}: {row}")
    return sentences


def _judge(step: Filter, derivations: Mapping[str, Derivation], rows: Sequence[Row], settings: Any) -> Booleans:
    columns: dict[str, Any] = {}
    for name in step.reads:
        if name in derivations and not any(name in row for row in rows):
            derivation = derivations[name]
            columns[name] = derivation.compute(columns_of_rows(rows, derivation.reads), derivation.own(settings))
        else:
            columns |= columns_of_rows(rows, [name])
    return step.judge(columns, settings)
