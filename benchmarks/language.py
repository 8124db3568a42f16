"""How well answers are read that models give in their own manners: a table of right, rejected, wrong and lost.

    python -m benchmarks.language [--cases FOLDER] [--tables FOLDER] [--show] [--json FILE]

Three parts read cases, a JSON object a line, and say of every one what came of it: of a rewritten caption, of what was
said of a region, and of what was said of a difference. An answer is read *right*, or *rejected* where nothing can be
made of it; *lost* is what was rejected without need, *wrong* what was kept and should not have been, or not so. A
difference is kept from an agreement of `KEPT_FROM`; how well its score tells true ones from false ones is its AUC
besides. No model runs: the cases hold what models say, and the filters of the stages judge it.

`--cases` names a folder of cases other than `benchmarks/cases`. Those in `held_out_1` to `held_out_7` were held out:
each set was measured once, as soon as it was written, and what it showed was mended before the next. What came out
then is in `benchmarks/results/language_held_out.json`; a later run says nothing new of them. `--tables` adds tables
with tabs from a folder, as `handed_cases` says.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.handed_cases import Case, handed
from imgdiff_assets.method.caption_edit import same_words
from imgdiff_assets.method.change import CHANGE_KEYS, named_change
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.steps import Derivation, Measurement

CASES = Path(__file__).parent / "cases"
RIGHT, REJECTED, WRONG, LOST = OUTCOMES = ("right", "rejected", "wrong", "lost")
KEPT_FROM = 0.7


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of one case: `outcome` is one of `OUTCOMES`, `told` says it in words, `score` is its agreement."""

    case: Case
    outcome: str
    told: str
    score: float = 0.0


@dataclass(slots=True)
class Told:
    """A prompt rewriter that says what a case says, and the settings it is asked with."""

    case: Case
    settings: Mapping[str, Any]

    def model(self, role: str) -> "Told":
        return self

    def rewrite(self, captions: Sequence[str], seeds: Sequence[int]) -> list[str]:
        # Who is not asked for an object gives the new caption alone.
        named = named_change(self.case["answer"], ("caption", *CHANGE_KEYS))
        return [named["caption"] if named else self.case["answer"]] * len(captions)

    def ask(self, questions: Sequence[str], seeds: Sequence[int] | None, schema: Any) -> list[str]:
        return [(self.case["answer"] if seeds else self.case["change_answer"]) or ""] * len(questions)


def rejected_by(name: str, recipe: Recipe, row: dict[str, Any], case: Case | None = None) -> str | None:
    """The filter of a stage that rejects a row, if one does; the row gets what is derived from it on the way.

    Only what needs no model but the rewriter of `case` is measured and judged.
    """
    stage, section = stage_named(name), getattr(recipe, name)
    row |= {column.name: row.get(column.name) for column in stage.item_columns}
    for step in stage.steps:
        if not step.on(section):
            continue
        if isinstance(step, Measurement):
            if case is not None:
                row |= step.run([row], Told(case, stage.values(recipe, step.settings, step)))[0]  # type: ignore[arg-type]
        elif set(step.reads) <= row.keys():
            columns = {name: np.array([row[name]], dtype=object) for name in step.reads}
            if isinstance(step, Derivation):
                row[step.column.name] = step.compute(columns, section)[0]
            elif not step.judge(columns, section)[0]:
                return step.name
    return None


def rewrites(cases: Sequence[Case], answer: str = "json") -> list[Judged]:
    """Captions rewritten: are the new one and the two objects right?"""
    judged = []
    for case in cases:
        recipe = _recipe(f"prompt_pairs.answer={answer}", f"prompt_pairs.language={case['language']}")
        row = {"caption_id": "", "attempt": 0, "filled": None, "source_caption": case["source"]}
        if reason := rejected_by("prompt_pairs", recipe, row, case):
            judged.append(_rejection(case, case["target"] is not None, reason))
            continue
        objects = [_plain(row["source_object"]), _plain(row["target_object"])]
        expected = [_plain(case["replaced"]), _plain(case["replacement"])]
        right = case["target"] is not None and same_words(case["target"], str(row["target_caption"]))
        told = f"{row['target_caption']} ({' → '.join(objects)})"
        judged.append(Judged(case, RIGHT if right and objects == expected else WRONG, told))
    return judged


def regions(cases: Sequence[Case]) -> list[Judged]:
    """What a captioner says of a region: is the noun phrase in it one of the right ones?"""
    judged = []
    for case in cases:
        said = " ".join(case["answer"].split())
        row = {"source_region_caption": said, "target_region_caption": said}
        if reason := rejected_by("captions", _recipe(f"captions.language={case['language']}"), row):
            judged.append(_rejection(case, bool(case["phrases"]), reason))
        else:
            phrase = row["source_phrase"]
            judged.append(Judged(case, RIGHT if phrase in case["phrases"] else WRONG, phrase))
    return judged


def differences(cases: Sequence[Case]) -> list[Judged]:
    """What a captioner says of a difference: is what is true kept, and nothing else?"""
    judged = []
    for case in cases:
        recipe = _recipe(f"captions.language={case['language']}", f"captions.min_agreement={KEPT_FROM}")
        row = {
            "source_region_caption": case["source"],
            "target_region_caption": case["target"],
            "difference_caption": " ".join(case["answer"].split()),
        }
        reason, score = rejected_by("captions", recipe, row), float(row.get("agreement", 0.0))
        outcome = {(True, True): RIGHT, (True, False): LOST, (False, True): WRONG, (False, False): REJECTED}
        told = f"{case['source']} → {case['target']}: {score:.2f} {reason or ''}"
        judged.append(Judged(case, outcome[case["right"], reason is None], told, score))
    return judged


def auc(judged: Sequence[Judged]) -> float:
    """How often a true difference has the higher score of two, a true and a false one; half where both are equal."""
    true, false = ([each.score for each in judged if each.case["right"] == right] for right in (True, False))
    return float(np.mean([(one > other) + (one == other) / 2 for one in true for other in false]))


PARTS: dict[str, Callable[[Sequence[Case]], list[Judged]]] = {
    "rewrites": rewrites,
    "rewrites, by differing words": lambda cases: rewrites(cases, "words"),
    "regions": regions,
    "differences": differences,
}
"""What is measured, by its name; up to a comma that is the name of its file of cases."""


def measure(cases: Mapping[str, Sequence[Case]]) -> dict[str, list[Judged]]:
    """All parts of which there are cases."""
    return {name: part(cases[of]) for name, part in PARTS.items() if (of := name.partition(",")[0]) in cases}


def cases_in(folder: Path) -> dict[str, list[Case]]:
    """The cases of a folder, by the name of their part."""
    files = sorted(folder.glob("*.jsonl"))
    return {file.stem: [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] for file in files}


def _recipe(*overrides: str) -> Recipe:
    if overrides not in _RECIPES:
        # No editor is asked here, so none is told anything.
        _RECIPES[overrides] = load_recipe(
            "modern", ["image_pairs.method=prompt_to_prompt", "prompt_pairs.instructions=null", *overrides]
        )
    return _RECIPES[overrides]


_RECIPES: dict[tuple[str, ...], Recipe] = {}


def _rejection(case: Case, needed: bool, reason: str) -> Judged:
    return Judged(case, LOST if needed else REJECTED, f"rejected: {reason}")


def _plain(phrase: str | None) -> str:
    return " ".join((phrase or "").lower().split())


def summary(judged: Mapping[str, Sequence[Judged]]) -> dict[str, dict[str, Any]]:
    """How many cases of each part, and of each manner in it, came out how; of differences the AUC too."""
    parts: dict[str, dict[str, Any]] = {}
    for name, found in judged.items():
        manners: dict[str, Counter[str]] = defaultdict(Counter)
        for each in found:
            manners[each.case["manner"]][each.outcome] += 1
        total = sum(manners.values(), Counter())
        parts[name] = {"cases": len(found), **{outcome: total[outcome] for outcome in OUTCOMES}}
        if name == "differences":
            parts[name]["auc"] = round(auc(found), 4)
        parts[name]["manners"] = {manner: dict(counts) for manner, counts in sorted(manners.items())}
    return parts


def table(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """Shares of the outcomes, a line for each part and each manner in it."""
    lines = [f"{'':34}{'cases':>6}" + "".join(f"{outcome:>10}" for outcome in OUTCOMES)]

    def line(name: str, counts: Mapping[str, int]) -> str:
        cases = sum(counts.get(outcome, 0) for outcome in OUTCOMES)
        return f"{name:34}{cases:>6}" + "".join(f"{counts.get(each, 0) / cases:>10.1%}" for each in OUTCOMES)

    for name, counts in parts.items():
        lines.append(line(name, counts) + (f"   AUC {counts['auc']:.3f}" if "auc" in counts else ""))
        if "," not in name:
            lines += [line(f"  {manner}", of_it) for manner, of_it in counts["manners"].items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, default=CASES, metavar="FOLDER", help="where the cases are")
    parser.add_argument("--tables", type=Path, metavar="FOLDER", help="tables with tabs that hold other cases")
    parser.add_argument("--show", action="store_true", help="tell every case that was lost or kept wrongly")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    options = parser.parse_args()
    cases = cases_in(options.cases)
    judged = measure(cases)
    if options.tables:
        judged |= {f"{name} (tables)": found for name, found in measure(handed(options.tables)).items()}
    parts = summary(judged)
    print(table(parts))
    for name, found in judged.items() if options.show else ():
        for each in found:
            if each.outcome in (WRONG, LOST) and not name.endswith("words"):
                print(f"{name}, {each.case['manner']}: {each.outcome}: {each.case['answer']!r}: {each.told}")
    if options.json:
        others = "" if options.cases == CASES else f" --cases {options.cases.as_posix()}"
        values = {"command": f"python -m benchmarks.language{others}", "kept_from": KEPT_FROM, "parts": parts}
        options.json.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
