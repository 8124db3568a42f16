"""A lineage as a tree of text."""

from collections.abc import Callable, Mapping
from typing import Any

from imgdiff_assets.common.plain_text import printable
from imgdiff_assets.lineage.lineage import Node, Score

WEIGHTS_DIGITS = 12


def to_text(root: Node) -> str:
    """The tree in lines: kept rows and the row asked for in full, other rows with their reason."""
    return "\n".join(_lines(root))


def _lines(node: Node) -> list[str]:
    lines = [_head(node)]
    bar = "│  " if node.children else "   "
    lines += [bar + printable(line) for line in _body(node)]
    for number, child in enumerate(node.children, 1):
        last = number == len(node.children)
        first, *rest = _lines(child)
        lines.append(("└─ " if last else "├─ ") + first)
        lines += [("   " if last else "│  ") + line for line in rest]
    return lines


def _head(node: Node) -> str:
    """Table, id and verdict; of a row that is not shown in full, the score that rejected it too."""
    mark = " ◀" if node.asked_for else ""
    score = "" if _in_full(node) else _rejecting_score(node)
    return f"{node.table} {node.id}  {printable(node.verdict)}{score}{mark}"


def _body(node: Node) -> list[str]:
    if not _in_full(node):
        return []
    lines = CONTENTS[node.table](node.values)
    scores = [score for score in node.scores if score.value is not None]
    lines += [_score_text(score) for score in scores if score.limits]
    lines.append(" · ".join(_score_text(score) for score in scores if not score.limits))
    if node.made:
        lines += [_made(node)]
        lines += [f"{role}: {_model(identity)}" for role, identity in (node.made["models"] or {}).items()]
    return [line for line in lines if line]


def _in_full(node: Node) -> bool:
    return node.kept or node.asked_for or bool(node.children)


def _rejecting_score(node: Node) -> str:
    """The score and the limit of the filter that rejected the row, if that filter compares a score."""
    for score in node.scores:
        for limit in score.limits:
            if score.value is not None and node.verdict.startswith(f"rejected by {limit.filter}:"):
                return f"; {_score_text(Score(score.name, score.value, (limit,)))}"
    return ""


def _score_text(score: Score) -> str:
    limits = []
    for limit in score.limits:
        judged = "" if limit.judged_by in (None, limit.now) else f", judged by {_number(limit.judged_by)}"
        limits.append(f"{limit.setting} {_number(limit.now)}{judged}")
    return f"{score.name} {_number(score.value)}" + (f" ({', '.join(limits)})" if limits else "")


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _made(node: Node) -> str:
    made = node.made
    devices = f" on {', '.join(sorted(set(made['devices'].values())))}" if made["devices"] else ""
    return (
        f"run {made['run_id']} · recipe {made['recipe']} {made['recipe_hash']} · code {made['code_version']} · "
        f"measured {made['measured_at']}{devices}"
    )


def _model(identity: Mapping[str, Any]) -> str:
    revision = f" at {identity['revision']}" if identity.get("revision") else ""
    return f"{identity.get('model')}{revision} (weights {str(identity.get('weights'))[:WEIGHTS_DIGITS]})"


def _caption(values: Mapping[str, Any]) -> list[str]:
    return [values["caption"], f"{values['source']}, line {values['line']}"]


def _prompt_pair(values: Mapping[str, Any]) -> list[str]:
    target = values["target_caption"]
    objects = (values["source_object"], values["target_object"])
    return [
        f"{values['source_caption']} → {target}" if target else values["source_caption"],
        " → ".join(objects) + f" (attempt {values['attempt']})" if all(objects) else "",
        "" if values["answer"] is None else f"answer: {values['answer']}",
    ]


def _image_pair(values: Mapping[str, Any]) -> list[str]:
    if values["width"] is None:
        return []
    seed = "given" if values["seed"] is None else f"seed {values['seed']}"
    return [f"{values['width']} × {values['height']} pixels, {seed}"]


def _region(values: Mapping[str, Any]) -> list[str]:
    if values["found_in"] is None:
        return []
    box = ", ".join(_number(values[name]) for name in ("x1", "y1", "x2", "y2"))
    objects = (values["source_object"], values["target_object"])
    named = f": {' → '.join(objects)}" if all(objects) else ""
    return [f"box ({box}) found in the {values['found_in']} image{named}"]


def _region_captions(values: Mapping[str, Any]) -> list[str]:
    difference = values["difference_caption"]
    return [
        f"{values['source_region_caption']} → {values['target_region_caption']}",
        f"difference: {difference}" if difference else "",
    ]


def _erasure(values: Mapping[str, Any]) -> list[str]:
    if values["erased_hash"] is None:
        return []
    return [f"erased from the {values['found_in']} image, seed {values['seed']}"]


def _removal_caption(values: Mapping[str, Any]) -> list[str]:
    return [f"was there: {values['region_caption']}"] if values["region_caption"] else []


def _sample(values: Mapping[str, Any]) -> list[str]:
    turns = [f"{turn['from']}: {turn['value']}" for turn in values["conversations"] or ()]
    return [f"task {values['task']}, split {values['split']}", *turns]


CONTENTS: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "caption": _caption,
    "prompt_pairs": _prompt_pair,
    "image_pairs": _image_pair,
    "filtered_pairs": lambda values: [],
    "bounding_boxes": _region,
    "captions": _region_captions,
    "removed_pairs": _erasure,
    "removal_captions": _removal_caption,
    "fine_tune_set": _sample,
}
