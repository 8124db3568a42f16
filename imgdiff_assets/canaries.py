"""No silent filter: each must reject the rows planted for it and keep the others, with the settings of this run."""

from typing import Any

from imgdiff_assets.stage import Filter, Stage, columns_of_rows


def mistakes(stage: Stage, settings: Any) -> list[str]:
    """One sentence per planted row that a filter of the stage judges wrongly; none when all filters work."""
    return [sentence for step in stage.filters for sentence in _mistakes_of(step, settings)]


def _mistakes_of(step: Filter, settings: Any) -> list[str]:
    canaries = step.canaries(settings)
    rows = [*canaries.kept, *canaries.rejected]
    passes = step.passes(columns_of_rows(rows, step.reads), settings)
    sentences = []
    for number, (row, passed) in enumerate(zip(rows, passes, strict=True)):
        expected = number < len(canaries.kept)
        if bool(passed) != expected:
            verb = "rejects a row that it must keep" if expected else "keeps a row that it must reject"
            sentences.append(f"the filter {step.name} {verb}: {row}")
    return sentences
