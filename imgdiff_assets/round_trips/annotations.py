"""Annotations of Label Studio, as its export in JSON has them, in again: verdicts, and corrections of regions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.corrections import BOX, TEXTS, Value
from imgdiff_assets.ledger.reviews import CHOSEN, REJECT, Review
from imgdiff_assets.round_trips.label_studio import LabelStudioError
from imgdiff_assets.round_trips.labelling import BOXES, NOTE, REASON, VERDICT, box_of
from imgdiff_assets.round_trips.reviewable import Region
from imgdiff_assets.round_trips.taking import NotSaid, Taken, Taking
from imgdiff_assets.stages.corrected import same

Annotation = Mapping[str, Any]


def take_annotations(
    home: Home, file: Path, reviewer: str = "", token: str | None = None, dry_run: bool = False
) -> Taken:
    """Record what the annotations of an export say. Of one person on one sample the latest counts.

    `reviewer` is who speaks, in the place of those who annotated. Raises LabelStudioError for a file that is no
    export, ReviewError for a token, DamagedTable, OSError.
    """
    taking = Taking(home, file.name, token)
    for number, (sample_id, by, annotation) in enumerate(_latest(file), 1):
        if annotation is None:
            taking.taken.empty += 1
            continue
        who = reviewer or taking.speaker or by
        given = {"sample_id": sample_id, "reviewer": who, "annotation": str(annotation.get("id", ""))}
        taking.attempt(number, given, lambda a=annotation, s=sample_id, w=who: _take(taking, s, w, a))  # type: ignore[misc]
    return taking.end(dry_run)


def _latest(file: Path) -> Iterator[tuple[str, str, Annotation | None]]:
    """By sample and person the annotation that counts, None of a task that says nothing. Raises LabelStudioError."""
    try:
        tasks = json.loads(file.read_bytes())
    except ValueError as error:
        raise LabelStudioError(f"{file}: is no JSON: {error}") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "data" in task for task in tasks):
        raise LabelStudioError(f"{file}: is no list of tasks; export the project as JSON, not as JSON-MIN.")
    found: dict[tuple[str, str], Annotation | None] = {}
    for number, task in enumerate(tasks, 1):
        data = task["data"]
        sample_id = data.get("sample_id") if isinstance(data, dict) else None
        if not isinstance(sample_id, str):
            raise LabelStudioError(
                f"{file}, task {number}: has no sample_id; `imgdiff reviews to-label-studio` writes it."
            )
        annotations = task.get("annotations")
        said = [each for each in annotations if isinstance(each, dict)] if isinstance(annotations, list) else []
        said = [each for each in said if not each.get("was_cancelled") and each.get("result")]
        if not said:
            found.setdefault((sample_id, ""), None)
        for each in sorted(said, key=lambda each: str(each.get("updated_at", ""))):
            key = sample_id, _person(each.get("completed_by"))
            before = found.get(key)
            if before is None or str(before.get("updated_at", "")) <= str(each.get("updated_at", "")):
                found[key] = each
    spoken = {name for (name, _), each in found.items() if each is not None}
    return ((name, by, each) for (name, by), each in found.items() if each is not None or name not in spoken)


def _person(completed_by: Any) -> str:
    """An address where the export tells it, else the number that Label Studio gives the person."""
    if isinstance(completed_by, dict):
        return str(completed_by.get("email") or completed_by.get("id") or "")
    return f"annotator {completed_by}" if completed_by not in (None, "") else ""


def _take(taking: Taking, sample_id: str, who: str, annotation: Annotation) -> None:
    sample = taking.sample(sample_id)
    by_control: dict[str, list[Mapping[str, Any]]] = {}
    for result in annotation["result"]:
        if isinstance(result, dict) and isinstance(result.get("value"), dict):
            by_control.setdefault(str(result.get("from_name", "")), []).append(result["value"])
    region = taking.region(sample)
    values = _corrected(by_control, region) if region is not None else {}
    verdict, reason = _chosen(by_control, VERDICT), _chosen(by_control, REASON)
    if not verdict and not values:
        raise NotSaid(VERDICT, "neither a verdict nor anything to correct")
    if region is not None and values:
        taking.correct(region, who, values)
    if verdict:
        taking.review(
            Review(
                sample_id=sample_id,
                shard=sample.shard,
                reviewer=who,
                verdict=verdict,
                note=_text(by_control, NOTE) or "",
                queue=CHOSEN,
                first=sample.first,
                reason=reason if verdict == REJECT else "",
            )
        )


def _corrected(by_control: Mapping[str, Sequence[Mapping[str, Any]]], region: Region) -> dict[str, Value]:
    """What the annotation has of the region's texts and box. Raises NotSaid."""
    values: dict[str, Value] = {}
    for name in TEXTS:
        text = _text(by_control, name)
        if text:
            values[name] = text
    found, drawn = region.found[BOX], []
    for control in BOXES:
        boxes = by_control.get(control, ())
        if len(boxes) > 1:
            raise NotSaid(control, "two boxes are drawn, and a sample is about one")
        try:
            drawn += [box_of(box, region.width, region.height) for box in boxes]
        except ValueError as error:
            raise NotSaid(control, str(error)) from None
    moved = [box for box in drawn if not same(box, found)]
    if len(moved) == 2 and not same(moved[0], moved[1]):
        raise NotSaid(BOX, "the boxes of the two pictures were moved to different places; drag one")
    if drawn:
        values[BOX] = moved[0] if moved else found
    return values


def _chosen(by_control: Mapping[str, Sequence[Mapping[str, Any]]], control: str) -> str:
    choices = [choice for value in by_control.get(control, ()) for choice in value.get("choices", ())]
    return str(choices[0]) if choices else ""


def _text(by_control: Mapping[str, Sequence[Mapping[str, Any]]], control: str) -> str | None:
    texts = [text for value in by_control.get(control, ()) for text in value.get("text", ())]
    return " ".join(str(texts[-1]).split()) if texts else None
