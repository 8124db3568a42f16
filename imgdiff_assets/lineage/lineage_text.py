"""A lineage as a tree of text."""

from collections.abc import Mapping
from typing import Any

from imgdiff_assets.common.plain_text import printable
from imgdiff_assets.lineage.lineage import CAPTION, Node, Score
from imgdiff_assets.method.tasks import SIDES
from imgdiff_assets.stages.graph import stage_named

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
    contents = _caption if node.table == CAPTION else stage_named(node.table).contents
    lines = [*contents(node.values), *(f"corrected, {text}" for text in node.corrections)]
    scores = [score for score in node.scores if score.value is not None]
    lines += [_score_text(score) for score in scores if score.limits]
    lines.append(" · ".join(_score_text(score) for score in scores if not score.limits))
    if node.made:
        lines += [_made(node)]
        lines += [
            f"{step}: as version {version} of its code measured it, which was left when this release came"
            for step, version in node.made["left"].items()
        ]
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
    package = f", by {identity['backend_package']}" if identity.get("backend_package") else ""
    return f"{identity.get('model')}{revision} (weights {str(identity.get('weights'))[:WEIGHTS_DIGITS]}{package})"


def _caption(values: Mapping[str, Any]) -> list[str]:
    colours = [f"{side} image: {values[name]}" for side in SIDES if values.get(name := f"{side}_colours")]
    digest, file_name = values.get("file_hash"), values.get("file_name") or "held by that line"
    file = [f"picture {file_name}, SHA-256 {digest}"] if digest else []
    return [values["caption"], f"{values['source']}, line {values['line']}", *file, *colours]
