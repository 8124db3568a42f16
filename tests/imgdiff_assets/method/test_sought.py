"""What is looked for in an image is named as its caption names it."""

import pytest

from imgdiff_assets.method.language import language_named
from imgdiff_assets.method.sought import as_captioned


@pytest.mark.parametrize(
    ("named", "caption", "sought"),
    [
        ("red car", "A red car on a road", "a red car"),
        ("orange cup", "A cat and an orange cup on the sand.", "an orange cup"),
        ("car", "A red car on a road", "car"),
        ("car", "Car on a road", "car"),
        ("two dogs", "Two dogs play with a ball", "two dogs"),
        ("dog", "Two dogs and a dog", "a dog"),
        ("dog", "A dogsled beside the dog", "the dog"),
        ("red cup, tree", "A red cup by the tree", "a red cup, the tree"),
        ("bird", "A man in a park", "bird"),
        (None, "A man in a park", None),
        ("bird", None, "bird"),
    ],
)
def test_an_article_that_stands_before_it_is_part_of_it(named: str, caption: str, sought: str) -> None:
    assert as_captioned(named, caption, language_named("english")) == sought


def test_a_language_has_its_own_articles_or_none() -> None:
    assert as_captioned("红色的车", "一辆红色的车在路上", language_named("chinese")) == "红色的车"
    assert as_captioned("rotes Auto", "Ein rotes Auto", language_named("english")) == "rotes Auto"
