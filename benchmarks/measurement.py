"""One line of a benchmark's table: what was measured, and what it should reach."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """`value` of a role, in `unit`, which should be at least `goal`, or at most where `at_most`."""

    role: str
    what: str
    value: float
    goal: float
    unit: str = "%"
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.value <= self.goal if self.at_most else self.value >= self.goal


def percent(hits: list[bool]) -> float:
    """The share of hits among at least one try, in percent."""
    return 100 * sum(hits) / len(hits)


def table(measurements: list[Measurement]) -> str:
    """The measurements as a Markdown table."""
    lines = ["| role | what | measured | goal | met |", "| --- | --- | ---: | ---: | --- |"]
    for one in measurements:
        goal = f"{'≤' if one.at_most else '≥'} {one.goal:g} {one.unit}".rstrip()
        measured = f"{one.value:.3g} {one.unit}".rstrip()
        lines.append(f"| {one.role} | {one.what} | {measured} | {goal} | {'yes' if one.met else 'NO'} |")
    return "\n".join(lines)
