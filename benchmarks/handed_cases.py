"""Cases of language that come as tables with tabs, one for each part of the benchmark.

`rewrites.tsv`: source_caption, model_answer, target_caption, replaced_object, replacing_object. An answer without a
replaced object is to be rejected. The second question, what was replaced by what, is answered as the table names the
change; where it names none, by the words in which the captions differ, as an object.

`regions.tsv`: captioner_answer, noun_phrase, empty where the answer names nothing. `differences.tsv`: source_region,
target_region, captioner_answer, right (1 or 0). A line break in a field is written as `\\n`.
"""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imgdiff_assets.method.caption_edit import edits
from imgdiff_assets.method.language import DEFAULT_LANGUAGE, is_of, language_named, language_names

Case = Mapping[str, Any]


def handed(folder: Path) -> dict[str, list[Case]]:
    """The cases in the tables of a folder, by the part of the benchmark that reads them."""
    readers = {"rewrites": _rewrite, "regions": _region, "differences": _difference}
    return {
        part: [read({key: value.replace("\\n", "\n") for key, value in row.items()}) for row in _rows(path)]
        for part, read in readers.items()
        if (path := folder / f"{part}.tsv").exists()
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, restval=""))


def _rewrite(row: Mapping[str, str]) -> Case:
    source, target = row["source_caption"], row["target_caption"] or None
    replaced, replacement = row["replaced_object"] or None, row["replacing_object"] or None
    change = {"replaced": replaced, "replacement": replacement, "kind": "object"}
    if replaced is None:
        differing = edits(source, row["target_caption"] or row["model_answer"].split("\n")[-1])
        if differing:
            change |= {"replaced": differing[0].source, "replacement": differing[0].target}
        target = None
    # In a language that a recipe cannot name, as a recipe that names none.
    language = next((name for name in language_names() if is_of(source, language_named(name))), "null")
    return {
        "manner": "handed",
        "language": language,
        "source": source,
        "answer": row["model_answer"],
        "change_answer": json.dumps(change),
        "target": target,
        "replaced": replaced,
        "replacement": replacement,
    }


def _region(row: Mapping[str, str]) -> Case:
    phrases = [row["noun_phrase"]] if row["noun_phrase"] else []
    answer = row["captioner_answer"]
    return {"manner": "handed", "language": DEFAULT_LANGUAGE, "answer": answer, "phrases": phrases}


def _difference(row: Mapping[str, str]) -> Case:
    return {
        "manner": "handed",
        "language": DEFAULT_LANGUAGE,
        "source": row["source_region"],
        "target": row["target_region"],
        "answer": row["captioner_answer"],
        "right": row["right"] == "1",
    }
