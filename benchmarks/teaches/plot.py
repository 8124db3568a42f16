"""What each arm scored, a point a seed, with the baselines as lines."""

from pathlib import Path
from typing import Any

SHOWN = (
    ("which image", "which image shows X"),
    ("difference", "exact difference"),
    ("d'", "same or different, d′"),
    ("caption", "caption of one image"),
)
LINES = (("captions compared", "#2e7d32"), ("captions guessed", "#b3261e"))


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
