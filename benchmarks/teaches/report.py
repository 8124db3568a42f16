"""The table that grows: what each arm scored, over as many seeds as there are, and what it has over the control."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.teaches.arms import ARMS
from benchmarks.teaches.evaluation import TASKS, summary
from benchmarks.teaches.results import effect, smallest_seen
from benchmarks.teaches.skills import SKILLS

BASELINES = ("before teaching", "captions compared", "captions guessed")
COMPARED = (
    ("ours", "control"),
    ("ours", "shuffled"),
    ("unfiltered", "control"),
    ("ours", "unfiltered"),
    ("ours", "corrupted_10"),
    ("ours", "corrupted_30"),
    ("loose", "ours"),
    ("strict", "ours"),
    ("removal", "ours"),
    ("ours", "no_nuisance"),
)
SHOWN = ("which image", "difference", "says different", "says same", "d'", "list", *SKILLS)
DISCORDANT = 0.2
"""The share of items that two trainings of one arm may well disagree about: assumed before anything was trained."""


@dataclass(frozen=True, slots=True)
class Report:
    """`values` for a file, `text` for people."""

    values: dict[str, Any]
    text: str


def report(folder: Path) -> Report:
    """Of all trainings that are done; raises OSError before the baselines are."""
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((folder / "runs").glob("*-*.json"))]
    baselines = json.loads((folder / "runs" / "baselines.json").read_text(encoding="utf-8"))
    sorts = baselines.pop("sorts")
    by_arm = {arm: {run["seed"]: run for run in runs if run["arm"] == arm} for arm in ARMS}
    by_arm = {arm: dict(sorted(of_arm.items())) for arm, of_arm in by_arm.items() if of_arm}
    precisions = {
        file.stem.removeprefix("precision_"): json.loads(file.read_text(encoding="utf-8"))
        for file in sorted((folder / "runs").glob("precision_*.json"))
    }
    rows: dict[str, Any] = {name: {"mean": summary(baselines[name], sorts)} for name in BASELINES}
    for arm, of_arm in by_arm.items():
        scored = [summary(run["items"], sorts) for run in of_arm.values()]
        first = next(iter(of_arm.values()))
        rows[arm] = {
            "about": ARMS[arm].__doc__,
            "seeds": list(of_arm),
            "precision": {name: precisions[name] for name in first["sets"] if name in precisions},
            "samples": first["samples"],
            "steps": first["steps"],
            "seconds": round(fmean(run["seconds"] for run in of_arm.values()), 1),
            "mean": {name: fmean(each[name] for each in scored) for name in scored[0]},
            "spread": {name: stdev(each[name] for each in scored) if len(scored) > 1 else None for name in scored[0]},
            "by_seed": [{name: each[name] for name in SHOWN} for each in scored],
        }
    effects: dict[str, Any] = {}
    for this, other in COMPARED:
        seeds = [seed for seed in by_arm.get(this, ()) if seed in by_arm.get(other, ())]
        if seeds:
            items = [[by_arm[arm][seed]["items"] for seed in seeds] for arm in (this, other)]
            effects[f"{this} over {other}"] = {
                task: asdict(effect([each[task] for each in items[0]], [each[task] for each in items[1]]))
                for task in (*TASKS, *SKILLS)
            }
    counts = {task: len(baselines[BASELINES[0]][task]) for task in (*TASKS, *SKILLS)}
    power = {
        task: {"items": count, "smallest seen, one seed": smallest_seen(DISCORDANT, count)}
        for task, count in counts.items()
    }
    values = {"rows": rows, "effects": effects, "power": power}
    return Report(values, _text(values))


def _text(values: dict[str, Any]) -> str:
    lines = [f"{'':20}{'seeds':>6}" + "".join(f"{name[:10]:>11}" for name in SHOWN)]
    for name, row in values["rows"].items():
        mean = row["mean"]
        shown = "".join(f"{mean[each]:11.3f}" if each in mean else f"{'–':>11}" for each in SHOWN)
        lines.append(f"{name:20}{len(row['seeds']) if 'seeds' in row else '':>6}{shown}")
    for name, tasks in values["effects"].items():
        lines.append(f"\n{name}")
        for task, found in tasks.items():
            over_seeds = ""
            if found["low"] is not None:
                over_seeds = f"  [{found['low']:+.3f}, {found['high']:+.3f}]  seeds p {found['p_seeds']:.3g}"
            over_items = f"  items {found['only_this']}:{found['only_other']} p {found['p_items']:.2g}"
            lines.append(f"  {task:16}{found['mean']:+.3f}{over_seeds}{over_items}")
    return "\n".join(lines)
