"""A few kept and a few rejected rows of one table as Markdown, small enough to be stored with a Dagster event."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest

import pyarrow.compute as pc
from PIL import Image, ImageDraw, ImageFont

from imgdiff_assets.common.aliases import Pixels, Row
from imgdiff_assets.common.plain_text import printable
from imgdiff_assets.ledger.images import PairImages
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.reading.samples import SampleImages
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.reading.shown import shown, shown_images
from imgdiff_assets.stages.stage import UPSTREAM, Stage

SHOWN = 6
"""Pairs on one sheet: one row of them is as wide as the web UI shows in a small window, 984 pixels."""

SIDE, GAP, GUTTER, TEXT = 74, 2, 12, 18
LONGEST_CAPTION = 100
TEXT_COLUMNS = ("pair_id", "kept", "rejected_by", "source_caption", "target_caption")
SHOWN_COLUMNS = ("region_id", "erased_from", "first", "task", "conversations", "answer")
MARKUP = "\\`*_{}[]()#+-!|~$:@"
RED, INK, PAPER, PANEL = "#ff0000", "#16181d", "#ffffff", "#f1f2f4"


def kept_and_rejected(ledger: Ledger, stage: Stage, shard: str) -> dict[str, str]:
    """Markdown by name: `kept` and `rejected`, each a picture of some pairs (prompts: a table); nothing for no rows.

    Which rows is a function of their ids. Rejected ones take turns by reason.
    """
    scores = {step.name: step.score for step in stage.filters if step.score and stage.range_of(step.score)}
    names = {stage.id_column, *TEXT_COLUMNS, *SHOWN_COLUMNS, *BOX_COLUMNS, *scores.values()}
    columns = [name for name in stage.schema.names if name in names]
    here = (pc.field("rejected_by") != UPSTREAM) | pc.field("kept")
    rows = sorted(scan(ledger, stage.name, columns, here, [shard]).to_pylist(), key=lambda row: row[stage.id_column])
    chosen = {"kept": [row for row in rows if row["kept"]][:SHOWN], "rejected": _by_turns(rows)[:SHOWN]}
    if PairImages.asset not in (stage.name, *stage.parents) and {"source_caption", "target_caption"} <= set(columns):
        return {name: _text_table(some) for name, some in chosen.items() if some}
    if "pair_id" not in columns or not ledger.exists(PairImages.asset, shard):
        return {}
    images = SampleImages(ledger, shard)
    try:
        return {name: _picture(_sheet(some, images, scores)) for name, some in chosen.items() if some}
    finally:
        images.close()


def _by_turns(rows: Sequence[Row]) -> list[Row]:
    """Rejected rows: one of each reason, then a second of each, and so on."""
    reasons: dict[str, list[Row]] = {}
    for row in rows:
        if not row["kept"]:
            reasons.setdefault(row["rejected_by"], []).append(row)
    return [row for row in chain.from_iterable(zip_longest(*reasons.values())) if row is not None]


def _text_table(rows: Sequence[Row]) -> str:
    lines = ["| caption | with one object replaced | |", "| --- | --- | --- |"]
    for row in rows:
        cells = (row["source_caption"], row["target_caption"], row["rejected_by"])
        lines.append("| " + " | ".join(_cell(str(cell or "")) for cell in cells) + " |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Captions may hold anything: nothing of it may act as Markdown or HTML."""
    short = printable(text)
    short = short if len(short) <= LONGEST_CAPTION else short[: LONGEST_CAPTION - 3] + "..."
    return "".join(f"&#{ord(letter)};" if letter in MARKUP else html.escape(letter) for letter in short)


def _picture(sheet: Image.Image) -> str:
    buffer = io.BytesIO()
    sheet.save(buffer, format="WEBP", quality=75, method=4)
    return f"![pairs](data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()})"


def _sheet(rows: Sequence[Row], images: SampleImages, scores: Mapping[str, str]) -> Image.Image:
    """The pairs in one line; beneath each the filter that rejected it with its score, else the last of `scores`."""
    last = next(reversed([*scores.values()]), "")
    width = 2 * SIDE + GAP
    sheet = Image.new("RGB", (SHOWN * width + (SHOWN - 1) * GUTTER, SIDE + TEXT), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for number, row in enumerate(rows):
        left = number * (width + GUTTER)
        for place, thumbnail in enumerate(_thumbnails(row, images)):
            sheet.paste(thumbnail, (left + place * (SIDE + GAP), 0))
        score = row.get(scores.get(row["rejected_by"], last))
        value = "" if score is None else f"{score:.3f}"
        draw.text((left, SIDE + 3), f"{row['rejected_by'] or ''} {value}".strip()[:30], INK, font)
    return sheet


def _thumbnails(row: Row, images: SampleImages) -> list[Image.Image]:
    """The two images: of a sample as a model is shown them, else the source first with the row's box."""
    if "first" in row:
        pair, box = shown(row).images, shown(row).box
    else:
        pair = shown_images(row["pair_id"])
        box = None if row.get("x1") is None else tuple(row[name] for name in BOX_COLUMNS)
    try:
        drawn: Sequence[Pixels | None] = [images(image) for image in pair]
    except (LookupError, TypeError):
        # None were drawn, or they are not kept.
        drawn = (None, None)
    return [_thumbnail(pixels, box) for pixels in drawn]


def _thumbnail(pixels: Pixels | None, box: Sequence[float] | None) -> Image.Image:
    """The image within a square, with the box in red."""
    square = Image.new("RGB", (SIDE, SIDE), PANEL)
    if pixels is None:
        return square
    image = Image.fromarray(pixels)
    scale = SIDE / max(image.size)
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    if box is not None:
        x1, y1, x2, y2 = (corner * scale for corner in box)
        ImageDraw.Draw(image).rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=RED, width=2)
    square.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    return square
