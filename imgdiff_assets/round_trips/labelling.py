"""The labelling interface of Label Studio (https://labelstud.io/tags/), and boxes as it tells them: in per cent."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from imgdiff_assets.ledger.corrections import TEXTS
from imgdiff_assets.ledger.reviews import ACCEPT, REJECT

FIRST, SECOND = "first_image", "second_image"
BOXES = {"box_in_first": FIRST, "box_in_second": SECOND}
"""The controls by which the box is dragged, and the picture that each is over: it is the same box in both."""

VERDICT, REASON, NOTE = "verdict", "reason", "note"
LABEL = "difference"
NAMES = {
    "source_region_caption": "What the region shows before",
    "target_region_caption": "What it shows after",
    "difference_caption": "The difference",
}


def config(reasons: Sequence[str]) -> str:
    """The interface as XML: a verdict with its reason, the box over either picture, the texts of the region."""
    choices = "\n".join(f"    <Choice value={quoteattr(reason)}/>" for reason in reasons)
    boxes = "\n".join(
        f'  <RectangleLabels name="{name}" toName="{picture}">\n    <Label value="{LABEL}" background="#d00"/>\n'
        "  </RectangleLabels>"
        for name, picture in BOXES.items()
    )
    texts = "\n".join(
        f'  <Header value={quoteattr(NAMES[name])}/>\n  <TextArea name="{name}" toName="question" editable="true" '
        'maxSubmissions="1" rows="2"/>'
        for name in TEXTS
    )
    return f"""<View>
  <Text name="question" value="$question"/>
  <Text name="answer" value="$answer"/>
  <View style="display: flex; gap: 1em">
    <Image name="{FIRST}" value="${FIRST}"/>
    <Image name="{SECOND}" value="${SECOND}"/>
  </View>
  <Choices name="{VERDICT}" toName="question" choice="single" showInLine="true">
    <Choice value="{ACCEPT}" hotkey="a"/>
    <Choice value="{REJECT}" hotkey="r"/>
  </Choices>
  <Choices name="{REASON}" toName="question" choice="single" showInLine="true"
           visibleWhen="choice-selected" whenTagName="{VERDICT}" whenChoiceValue="{REJECT}">
{choices}
  </Choices>
{boxes}
{texts}
  <Header value="Note"/>
  <TextArea name="{NOTE}" toName="question" editable="true" maxSubmissions="1" rows="1"/>
</View>
"""


def box_result(control: str, box: Sequence[float], width: int, height: int) -> dict[str, Any]:
    """A rectangle of Label Studio: xyxy in pixels of a picture of `width` x `height` becomes per cent of it."""
    x1, y1, x2, y2 = box
    return {
        "id": control,
        "from_name": control,
        "to_name": BOXES[control],
        "type": "rectanglelabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "x": 100 * x1 / width,
            "y": 100 * y1 / height,
            "width": 100 * (x2 - x1) / width,
            "height": 100 * (y2 - y1) / height,
            "rotation": 0,
            "rectanglelabels": [LABEL],
        },
    }


def text_result(control: str, text: str) -> dict[str, Any]:
    """What stands in a text area."""
    value = {"text": [text]}
    return {"id": control, "from_name": control, "to_name": "question", "type": "textarea", "value": value}


def box_of(value: Mapping[str, Any], width: int, height: int) -> tuple[float, float, float, float]:
    """xyxy in pixels, within the picture, of what an annotation says in per cent. Raises ValueError."""
    if value.get("rotation"):
        raise ValueError("the box is turned, and boxes are upright here")
    try:
        x, y, wide, high = (float(value[name]) / 100 for name in ("x", "y", "width", "height"))
    except (KeyError, TypeError, ValueError):
        raise ValueError("a box has x, y, width and height, in per cent") from None
    corners = (x * width, y * height, (x + wide) * width, (y + high) * height)
    x1, y1, x2, y2 = (
        round(min(max(corner, 0.0), float(limit)), 2)
        for corner, limit in zip(corners, (width, height, width, height), strict=True)
    )
    return x1, y1, x2, y2
