"""The picture of a ledger: what is on it, and that no caption breaks it."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import PairImages, pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.tasks import other
from imgdiff_assets.pictures.contact_sheet import write_contact_sheet
from imgdiff_assets.pictures.sheet_drawing import (
    CARD_WIDTH,
    GAP,
    GUTTER,
    LABEL,
    MARGIN,
    PAGE_WIDTH,
    PICTURE,
    Card,
    Section,
    draw_page,
    wrap,
)
from imgdiff_assets.reading.samples import SampleImages, StaleSample, read_samples
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe

HEADING = 116
RED = np.array([255, 0, 0])


def pixels_of(path: Path) -> Pixels:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def picture_at(page: Pixels, row_top: int, column: int, side: int) -> Pixels:
    left = MARGIN + column * (CARD_WIDTH + GUTTER) + side * (PICTURE + GAP)
    return page[row_top : row_top + PICTURE, left : left + PICTURE]


def test_kept_samples_are_shown_with_their_own_images_and_boxes(drawn_home: Home, tmp_path: Path) -> None:
    ledger = Ledger(drawn_home.ledger)
    path = tmp_path / "sheet.png"
    samples = sorted(read_samples(ledger, "shard-000000"), key=lambda sample: sample.sample_id)
    shown = write_contact_sheet(ledger, path, ["shard-000000"])
    assert shown == len(samples) > 0
    page = pixels_of(path)
    assert page.shape[1] == PAGE_WIDTH
    images = PairImages(ledger, "shard-000000")
    for column, sample in enumerate(samples[:3]):
        for side, original in enumerate(images(sample.pair_id)):
            seen = picture_at(page, HEADING, column, side)
            enlarged = original.repeat(3, axis=0).repeat(3, axis=1)
            red = (seen == RED).all(axis=2)
            assert (seen == enlarged).all(axis=2)[~red].all(), "nothing but the box is drawn on the image"
            rows, columns = np.nonzero(red)
            x1, y1, x2, y2 = (3 * value for value in sample.box)
            found = (columns.min(), rows.min(), columns.max(), rows.max())
            assert np.abs(np.subtract(found, (x1 - 5, y1 - 5, x2 + 4, y2 + 4))).max() <= 1
    images.close()


def test_every_reason_has_its_card(drawn_home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sections: list[Section] = []
    monkeypatch.setattr(
        "imgdiff_assets.pictures.contact_sheet.draw_page", lambda given: sections.extend(given) or draw_page(given)
    )
    write_contact_sheet(Ledger(drawn_home.ledger), tmp_path / "sheet.png")
    kept, rejected = sections
    labels = [card.label for card in rejected.cards]
    assert {
        "prompt_pairs: unknown_words",
        "prompt_pairs: unchanged",
        "image_pairs: error:out_of_memory",
        "filtered_pairs: too_similar",
        "bounding_boxes: too_small",
    } <= set(labels)
    assert len(labels) == 12
    by_label = {card.label: card for card in rejected.cards}
    assert by_label["prompt_pairs: unknown_words"].images is None
    assert by_label["bounding_boxes: too_small"].box is not None
    assert "max_similarity 0.9999" in by_label["filtered_pairs: too_similar"].note
    assert {card.source_caption for card in kept.cards} >= {"a blue ball on the sea"}
    assert all(card.label == "" and card.images for card in kept.cards)


def test_samples_are_shown_in_the_order_that_their_question_is_about(
    task_home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sections: list[Section] = []
    monkeypatch.setattr("imgdiff_assets.pictures.contact_sheet.KEPT_CARDS", 1000)
    monkeypatch.setattr(
        "imgdiff_assets.pictures.contact_sheet.draw_page", lambda given: sections.extend(given) or draw_page(given[1:])
    )
    ledger = Ledger(task_home.ledger)
    write_contact_sheet(ledger, tmp_path / "sheet.png", ["shard-000000"])
    samples = read_samples(ledger, "shard-000000")
    assert {sample.first for sample in samples} == {"source", "target"}
    with closing(SampleImages(ledger, "shard-000000")) as images:
        expected = [
            (
                sample.conversations[0]["value"].rpartition("<image>\n")[2],
                sample.answer,
                *(pixel_hash(pair[side]) for side in (sample.first, other(sample.first))),
            )
            for sample in samples
            for pair in [{image.side: images(image) for image in sample.shown.images}]
        ]
    seen = [(card.note, card.text, *map(pixel_hash, card.images or ())) for card in sections[0].cards]
    assert sorted(seen) == sorted(expected)


def test_the_same_ledger_gives_the_same_picture(drawn_home: Home, tmp_path: Path) -> None:
    ledger = Ledger(drawn_home.ledger)
    for name in ("one.png", "two.png"):
        write_contact_sheet(ledger, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "two.png"]


def test_an_empty_ledger_gives_an_empty_sheet(tmp_path: Path) -> None:
    assert write_contact_sheet(Ledger(tmp_path / "ledger"), tmp_path / "sheet.png") == 0
    assert pixels_of(tmp_path / "sheet.png").shape == (2 * HEADING + MARGIN, PAGE_WIDTH, 3)


def test_images_made_anew_are_not_shown_with_old_boxes(
    own_home: Home, drawn_recipe: Recipe, run_stages: Any, tmp_path: Path
) -> None:
    run_stages(own_home, override_recipe(drawn_recipe, ["seed=1"]), ["shard-000001"], ["image_pairs"])
    with pytest.raises(StaleSample, match=r"imgdiff run --shards shard-000001"):
        write_contact_sheet(Ledger(own_home.ledger), tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize("shape", [(1024, 1024), (40, 200), (301, 97), (1, 1)])
def test_images_of_any_shape_fit_their_square(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 90, dtype=np.uint8)
    box = (0.0, 0.0, float(shape[1]), float(shape[0]))
    page = np.asarray(draw_page([Section("One", "", [Card("a", "b", (image, image), box, "", "same")])]))
    seen = picture_at(page, HEADING, 0, 0)
    # The middle may be under the box's line when the image is only a line itself.
    assert (seen.reshape(-1, 3) == [90, 90, 90]).all(axis=1).any() or min(shape) * PICTURE / max(shape) < 7
    assert (seen == RED).all(axis=2).any()


def test_captions_of_any_length_stay_in_their_card() -> None:
    long = "word " * 2000 + "w" * 5000
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    cards = [
        Card(long, long, None, None, "stage: filter", long, long),
        Card(long, long, (image, image), None, "", long),
    ]
    page = np.asarray(draw_page([Section("Long", long, cards)]))
    for gutter in range(2):
        left = MARGIN + CARD_WIDTH + gutter * (CARD_WIDTH + GUTTER)
        assert (page[HEADING:, left + 1 : left + GUTTER] == 255).all(), "no text runs over the edge of a card"
    assert page.shape[0] < 800


def test_the_label_is_drawn_for_rejected_candidates_only() -> None:
    label = [int(LABEL[start : start + 2], 16) for start in (1, 3, 5)]
    for text, expected in (("filtered_pairs: too_similar", True), ("", False)):
        page = np.asarray(draw_page([Section("One", "", [Card("a", "b", None, None, text, "words")])]))
        assert (page == label).all(axis=2).any() == expected


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=120), width=st.integers(20, 300), most=st.integers(1, 5))
def test_wrapped_lines_fit_and_lose_nothing_but_the_end(text: str, width: int, most: int) -> None:
    font = ImageFont.load_default(size=14)
    lines = wrap(text, font, width, most)
    assert len(lines) <= most
    assert all(font.getlength(line) <= width or len(line) <= 3 for line in lines)
    letters = "".join(lines).replace(" ", "")
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in "".join(text.split()))
    if letters.endswith("...") and letters != shown:
        letters = letters[:-3]
        assert shown.startswith(letters)
    else:
        assert letters == shown
