"""Every kind of difference: what it is asked as, and what may change between two captions for it."""

import json
from collections import Counter
from pathlib import Path

import pytest

from imgdiff_assets.method.kind import CAPTION, Example, Kind, kind_named, kind_names, kinds_in_order
from imgdiff_assets.method.language import language_named

ENGLISH = language_named("english")
KINDS = [kind_named(name) for name in kind_names()]
HELD_OUT = Path(__file__).parents[3] / "benchmarks" / "cases" / "kinds_held_out.jsonl"


def passes(kind: Kind, example: Example) -> bool:
    change = kind.check(example.source, example.target, example.named, ENGLISH)
    return change.fault is None and change.kind == kind.called


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_keeps_its_right_examples_and_rejects_its_wrong_ones(kind: Kind) -> None:
    assert [example for example in kind.right if not passes(kind, example)] == []
    assert [example for example in kind.wrong if passes(kind, example)] == []
    assert kind.right
    assert kind.wrong


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_other_kind_takes_its_examples_for_its_own(kind: Kind) -> None:
    """But for what is told as an object where it is a quality: that only who understands it can tell."""
    others = [other for other in KINDS if other is not kind]
    told = [Example(each.source, each.target, each.replaced, each.replacement, kind.called) for each in kind.right]
    assert [(other.name, example) for other in others for example in told if passes(other, example)] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_asks_about_the_caption_and_says_what_it_wants(kind: Kind) -> None:
    assert kind.question.count(CAPTION) == 1
    assert kind.request in kind.question
    assert kind.names in kind.question
    assert kind.name == kind_named(kind.name).name


@pytest.mark.parametrize(
    ("kind", "source", "target", "replaced", "replacement", "told"),
    [
        ("attribute_changed", "A red car on a road", "A blue car on a road", "red", "blue", ("red car", "blue car")),
        ("attribute_changed", "A small brown dog runs", "A large brown dog runs", "small", "large",
         ("small brown dog", "large brown dog")),
        ("count_changed", "A child with two puppies", "A child with one puppy", "two puppies", "one puppy",
         ("two puppies", "one puppy")),
        ("count_changed", "A man in a park", "Two men in a park", "man", "two men", ("a man", "two men")),
        ("position_changed", "A cat under a table", "A cat on a table", "cat under a table", "cat on a table",
         ("cat under a table", "cat on a table")),
        ("action_changed", "A man sitting on a bench", "A man standing on a bench", "sitting", "standing",
         ("sitting", "standing")),
    ],
)  # fmt: skip
def test_a_change_is_told_with_the_thing_it_is_of(
    kind: str, source: str, target: str, replaced: str, replacement: str, told: tuple[str, str]
) -> None:
    change = kind_named(kind).check(source, target, Example(source, target, replaced, replacement).named, ENGLISH)
    assert (change.fault, change.source, change.target) == (None, *told)


def test_an_unknown_kind_is_no_kind() -> None:
    with pytest.raises(LookupError, match="there is no kind 'style'; there are action_changed"):
        kind_named("style")


def test_kinds_are_tried_as_often_as_their_shares_say_and_each_once() -> None:
    shares = {"object_replaced": 0.5, "attribute_changed": 0.3, "count_changed": 0.2, "action_changed": 0.0}
    orders = [kinds_in_order(f"caption-{number}", shares) for number in range(2000)]
    firsts = Counter(order[0] for order in orders)
    assert all(abs(firsts[name] / 2000 - share) < 0.03 for name, share in shares.items())
    assert all(sorted(order) == ["attribute_changed", "count_changed", "object_replaced"] for order in orders)
    assert orders[7] == kinds_in_order("caption-7", dict(reversed(shares.items())))


def test_held_out_rewrites_are_judged_as_well_as_when_they_were_written() -> None:
    """Nothing was mended by them: what is wrong of them is known, and no more may be."""
    cases = [json.loads(line) for line in HELD_OUT.read_text(encoding="utf-8").splitlines()]
    judged = []
    for case in cases:
        example = Example(*(case[name] for name in ("source", "target", "replaced", "replacement", "told")))
        judged.append((case["right"], passes(kind_named(case["kind"]), example)))
    assert len(cases) >= 60
    assert sum(right and not passed for right, passed in judged) == 2, "lost"
    assert sum(passed and not right for right, passed in judged) == 1, "wrong"


def test_the_guide_lists_every_kind_as_its_file_has_it() -> None:
    guide = Path(__file__).parents[3] / "docs" / "kinds.md"
    rows = [line for line in guide.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{kind.name}` | {kind.differs} | “{kind.right[0].source}” → “{kind.right[0].target}” |" for kind in KINDS
    ]
