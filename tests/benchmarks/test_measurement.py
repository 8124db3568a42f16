"""The lines of a benchmark's table."""

from benchmarks.measurement import Measurement, percent, table


def test_a_goal_is_a_floor_or_a_ceiling() -> None:
    assert Measurement("captioner", "right", 95.0, 95).met
    assert not Measurement("captioner", "right", 94.9, 95).met
    assert Measurement("segmenter", "proposals a scene", 3.2, 8, "", at_most=True).met
    assert not Measurement("segmenter", "proposals a scene", 8.1, 8, "", at_most=True).met


def test_the_table_says_what_is_missed() -> None:
    rows = table(
        [
            Measurement("captioner", "right", percent([True, True, True, False]), 95),
            Measurement("segmenter", "proposals a scene", 3.21, 8, "", at_most=True),
        ]
    ).splitlines()
    assert rows[2:] == [
        "| captioner | right | 75 % | ≥ 95 % | NO |",
        "| segmenter | proposals a scene | 3.21 | ≤ 8 | yes |",
    ]
