"""What each arm scored, a point a seed, with the baselines as lines; and what thresholds are worth."""

from pathlib import Path
from typing import Any

SHOWN = (
    ("which image", "which image shows X"),
    ("difference", "exact difference"),
    ("d'", "same or different, d′"),
    ("caption", "caption of one image"),
)
LINES = (("captions compared", "#2e7d32"), ("captions guessed", "#b3261e"))


THRESHOLDS = ("unfiltered", "loose", "ours", "strict")
"""Arms from the lowest thresholds to the highest."""


def draw(values: dict[str, Any], path: Path) -> None:
    """Write a PNG of what `report` found. Raises OSError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    arms = {name: row for name, row in values["rows"].items() if "by_seed" in row}
    figure = Figure(figsize=(11, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for number, (name, title) in enumerate(SHOWN, 1):
        axes = figure.add_subplot(1, len(SHOWN), number)
        for place, row in enumerate(arms.values()):
            points = [seed[name] for seed in row["by_seed"]]
            axes.plot([place] * len(points), points, "o", color="#3f51b5", alpha=0.5)
            axes.plot([place - 0.25, place + 0.25], [row["mean"][name]] * 2, color="#3f51b5", linewidth=2)
        for line, colour in LINES:
            if name in values["rows"][line]["mean"]:
                axes.axhline(values["rows"][line]["mean"][name], color=colour, linestyle="--", linewidth=1, label=line)
        axes.set_xticks(range(len(arms)), [arm.replace("_", " ") for arm in arms], rotation=60, ha="right")
        axes.set_title(title, fontsize=10)
        axes.grid(axis="y", alpha=0.3)
        if number == 1:
            axes.legend(fontsize=7, loc="upper left")
            axes.set_ylim(0, 1.05)
    figure.savefig(path)


def draw_thresholds(values: dict[str, Any], path: Path) -> None:
    """Write a PNG of how right the sets of higher and higher thresholds are, how large, and what they teach; of those
    that are there. Raises OSError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    arms = {name: values["rows"][name] for name in THRESHOLDS if values["rows"].get(name, {}).get("precision")}
    judged = [next(iter(row["precision"].values())) for row in arms.values()]
    places = range(len(arms))
    figure = Figure(figsize=(7, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shares = [each["right"] / each["judged"] for each in judged]
    spans = [[share - each["low"] for share, each in zip(shares, judged, strict=True)]]
    spans += [[each["high"] - share for share, each in zip(shares, judged, strict=True)]]
    axes.errorbar(
        places, shares, yerr=spans, fmt="s-", color="#2e7d32", capsize=3, label="differences right, of the set"
    )
    for (name, title), colour in zip(SHOWN[:2], ("#3f51b5", "#b3261e"), strict=True):
        axes.plot(places, [row["mean"][name] for row in arms.values()], "o-", color=colour, label=f"taught: {title}")
    labels = [f"{name}\n{each['differences']:,}" for name, each in zip(arms, judged, strict=True)]
    axes.set_xticks(places, labels)
    axes.set_xlabel("thresholds, low to high; differences in the set")
    axes.set_ylim(0, 1.05)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=7)
    figure.savefig(path)
