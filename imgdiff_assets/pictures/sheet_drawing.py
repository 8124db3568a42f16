"""Drawing a contact sheet: cards of two pictures with words beneath, in rows, under headings."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.plain_text import printable

PICTURE = 192
GAP = 28
CARD_WIDTH = 2 * PICTURE + GAP
CARDS_PER_ROW = 3
MARGIN = 40
GUTTER = 36
PAGE_WIDTH = 2 * MARGIN + CARDS_PER_ROW * CARD_WIDTH + (CARDS_PER_ROW - 1) * GUTTER
LONGEST_TEXT = 600
BOX_MARGIN = 5

PAPER, PANEL, INK, GREY, RULE = "#ffffff", "#f1f2f4", "#16181d", "#6a707c", "#d9dce1"
RED, LABEL = "#ff0000", "#b3382c"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Card:
    """A pair: two images (or none, where none were drawn), a box in both (xyxy pixels), and what is said of them.

    `label` names the filter of a rejected candidate; a sample has none.
    """

    source_caption: str
    target_caption: str
    images: tuple[Pixels, Pixels] | None
    box: tuple[float, float, float, float] | None
    label: str
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a line beneath it, and cards."""

    title: str
    subtitle: str
    cards: Sequence[Card]


def draw_page(sections: Sequence[Section]) -> Image.Image:
    """All sections on one page, as high as they need."""
    parts: list[Image.Image] = []
    for section in sections:
        parts.append(_heading(section))
        for start in range(0, len(section.cards), CARDS_PER_ROW):
            parts.append(_row(section.cards[start : start + CARDS_PER_ROW]))
    page = Image.new("RGB", (PAGE_WIDTH, sum(part.height for part in parts) + MARGIN), PAPER)
    top = 0
    for part in parts:
        page.paste(part, (0, top))
        top += part.height
    return page


def wrap(text: str, font: Font, width: int, max_lines: int) -> list[str]:
    """The text in lines of at most `width` pixels; a word that is longer is broken, what is too much becomes dots."""
    lines: list[str] = []
    line = ""
    for word in printable(text)[:LONGEST_TEXT].split():
        if line and font.getlength(f"{line} {word}") > width:
            lines.append(line)
            line = ""
        while font.getlength(word) > width:
            end = _fitting(word, font, width)
            lines.append(word[:end])
            word = word[end:]
        line = f"{line} {word}" if line else word
    lines += [line] if line else []
    if len(lines) > max_lines:
        lines = lines[:max_lines]
        while lines[-1] and font.getlength(lines[-1] + "...") > width:
            lines[-1] = lines[-1][:-1]
        lines[-1] = lines[-1].rstrip() + "..."
    return lines


def _fitting(word: str, font: Font, width: int) -> int:
    """How many letters of a word that is too long fit, at least one."""

    def too_long(end: int) -> bool:
        return font.getlength(word[:end]) > width

    return max(1, bisect_right(range(1, len(word)), False, key=too_long))


@lru_cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size=size)


def _heading(section: Section) -> Image.Image:
    strip = Image.new("RGB", (PAGE_WIDTH, 116), PAPER)
    draw = ImageDraw.Draw(strip)
    draw.text((MARGIN, 36), section.title, INK, _font(28), stroke_width=0.4, stroke_fill=INK)
    draw.text((MARGIN, 76), section.subtitle, GREY, _font(15))
    return strip


def _row(cards: Sequence[Card]) -> Image.Image:
    drawn = [_card(card) for card in cards]
    strip = Image.new("RGB", (PAGE_WIDTH, max(card.height for card in drawn) + GUTTER), PAPER)
    for column, card in enumerate(drawn):
        strip.paste(card, (MARGIN + column * (CARD_WIDTH + GUTTER), 0))
    return strip


def _card(card: Card) -> Image.Image:
    """Two pictures, the caption of each beneath it, then a coloured label and the text."""
    canvas = Image.new("RGB", (CARD_WIDTH, 3 * PICTURE), PAPER)
    draw = ImageDraw.Draw(canvas)
    bottom = PICTURE
    for side, caption in enumerate((card.source_caption, card.target_caption)):
        left = side * (PICTURE + GAP)
        if card.images is None:
            draw.rectangle((left, 0, left + PICTURE - 1, PICTURE - 1), PANEL)
            lines = wrap(caption, _font(16), PICTURE - 32, 7)
            _write(draw, left + 16, (PICTURE - 22 * len(lines)) // 2, lines, 16, INK)
        else:
            canvas.paste(_picture(card.images[side], card.box), (left, 0))
            lines = wrap(caption, _font(14), PICTURE, 3)
            bottom = max(bottom, _write(draw, left, PICTURE + 6, lines, 14, GREY))
    middle = PICTURE + GAP // 2
    draw.polygon(
        [(middle - 5, PICTURE // 2 - 8), (middle - 5, PICTURE // 2 + 8), (middle + 6, PICTURE // 2)], fill=RULE
    )
    top = bottom + 10
    if card.label:
        width = int(_font(13).getlength(card.label)) + 16
        draw.rounded_rectangle((0, top, width, top + 21), 5, LABEL)
        draw.text((8, top + 10), card.label, PAPER, _font(13), anchor="lm")
        top += 28
    top = _write(draw, 0, top, wrap(card.text, _font(16), CARD_WIDTH, 4), 16, INK)
    top = _write(draw, 0, top, wrap(card.note, _font(13), CARD_WIDTH, 2), 13, GREY)
    return canvas.crop((0, 0, CARD_WIDTH, top))


def _write(draw: ImageDraw.ImageDraw, left: int, top: int, lines: Sequence[str], size: int, colour: str) -> int:
    """Write the lines; returns where the next may begin."""
    for line in lines:
        draw.text((left, top), line, colour, _font(size))
        top += round(1.4 * size)
    return top


def _picture(pixels: Pixels, box: tuple[float, float, float, float] | None) -> Image.Image:
    """The image enlarged (or reduced) to fit a square, with its red box drawn at the size it is seen."""
    image = Image.fromarray(pixels)
    scale = PICTURE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS)
    if box is not None:
        x1, y1, x2, y2 = (value * scale for value in box)
        corners = (
            max(0, x1 - BOX_MARGIN),
            max(0, y1 - BOX_MARGIN),
            min(image.width, x2 + BOX_MARGIN) - 1,
            min(image.height, y2 + BOX_MARGIN) - 1,
        )
        ImageDraw.Draw(image).rectangle(corners, outline=RED, width=3)
    square = Image.new("RGB", (PICTURE, PICTURE), PANEL)
    square.paste(image, ((PICTURE - image.width) // 2, (PICTURE - image.height) // 2))
    return square
