"""YAML from outside: what is too much is refused at once, by the key where it is."""

import time

import pytest
import yaml

from resources.loading.bounded_yaml import load_yaml

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]\n" for number in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (LAUGHS, "a4.7: more than 100,000 values"),
        (LAUGHS.replace("[", "{<<: [").replace("]", "]}"), "more than 100,000 values"),
        ("seed: " + "[" * 20_000, "seed.0.0.0"),
        ("a: {b: [1, {c: " + "[" * 30 + "]" * 30 + "}]}", "a.b.1.c.0.0"),
        (f"a: &a {'[' * 12}{']' * 12}\nb: {'[' * 12}*a{']' * 12}", "b.0.0.*: nested more than 20 deep"),
        (
            "models: {" + ", ".join(f"key{number}: 1" for number in range(30_000)) + "}",
            "models.key1000: more than 1,000",
        ),
        (f"words: [{', '.join('x' * 200_000)}]", "words.9999.: more than 100,000 values"),
        ("a: &a [*a]", "a.0: \\*a stands for nothing"),
        ("a: *b", "a: \\*b stands for nothing"),
        (f"seed: {'9' * 5_000}", "seed: a number of more than 64 characters"),
        (f"seed: {'1:' * 50_000}1", "seed: a number"),
        (f"seed: !!int '{'1: ' * 50_000}1'", "seed: a number"),
        ("x" * 4_000_001, "more than 4,000,000 characters"),
        ("a: {b: 1, b: 2}", "the key 'b' is there twice"),
    ],
)
def test_too_much_is_refused_at_once(text: str, told: str) -> None:
    started = time.process_time()
    with pytest.raises(yaml.YAMLError, match=told) as caught:
        load_yaml(text)
    assert time.process_time() - started < 10, "it took minutes before"
    assert len(str(caught.value)) < 300


def test_what_is_used_in_moderation_is_read() -> None:
    text = "a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, z: *a}\nc: '99999999999999999999'\nd: " + "[" * 18 + "]" * 18
    values = load_yaml(text)
    assert values["b"] == {"x": 1, "y": [1, 2], "z": {"x": 1, "y": [1, 2]}}
    assert values["c"] == "9" * 20
    assert load_yaml(f"[{', '.join(map(str, range(20_000)))}]") == list(range(20_000))
    assert load_yaml("") is None
