"""A replay as text."""

from collections.abc import Iterator
from typing import Any

from imgdiff_assets.common.plain_text import printable
from imgdiff_assets.lineage.compare import Comparison, Verdict
from imgdiff_assets.lineage.replay import Replay, Replayed

LONGEST_VALUE = 200


def to_text(result: Replay) -> str:
    """The verdict, then each measurement with what differs in it, then what may have caused it."""
    lines = [f"{result.kind} {result.id} of {result.shard}: {_conclusion(result)}", ""]
    for step in result.steps:
        lines += _step_lines(step)
    if result.origins:
        lines += ["", "Not what it was made of:", *(f"  {printable(origin)}" for origin in result.origins)]
    if result.surroundings:
        lines += ["", "Other surroundings:", *(f"  {printable(other)}" for other in result.surroundings)]
    return "\n".join(lines)


def _conclusion(result: Replay) -> str:
    if not result.steps and not result.origins:
        return "nothing was measured of it, so there is nothing to make again (`imgdiff lineage` says why)."
    if result.verdict == Verdict.SAME:
        return "the same, bit for bit."
    if result.verdict == Verdict.CLOSE:
        return "the same within tolerance (a batch of another shape, or another device, rounds otherwise)."
    differing = [f"{step.stage}.{step.measurement}" for step in result.steps if step.verdict == Verdict.DIFFERS]
    if differing:
        return f"not the same; it differs in {', '.join(differing)}."
    return "it gives the same, but not from what it was made of."


def _step_lines(step: Replayed) -> Iterator[str]:
    yield f"{step.stage:<15} {step.measurement:<11} {step.verdict if step.failure is None else 'failed'}"
    if step.asked > 1:
        yield f"    asked of a server {step.asked} times: {step.agreed} agree with what is recorded"
    if step.failure is not None:
        yield f"    {printable(step.failure)}"
    for comparison in step.comparisons:
        if comparison.verdict != Verdict.SAME:
            yield f"    {_difference(comparison)}"


def _difference(comparison: Comparison) -> str:
    name, apart = comparison.name, comparison.difference
    if comparison.verdict == Verdict.CLOSE or comparison.name.endswith("_image"):
        return f"{name}: {apart}"
    values = f"was {_value(comparison.recorded)}, is {_value(comparison.again)}"
    return f"{name}: {values}" + (f" ({apart})" if apart else "")


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = printable(str(value))
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."
