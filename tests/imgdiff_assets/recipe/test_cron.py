"""Cron expressions: what is taken, Dagster takes; the likeliest mistakes are told in words."""

import datetime
import random

import pytest
from dagster._utils.schedules import is_valid_cron_string

from imgdiff_assets.recipe.cron import check_cron, next_time

PARTS = (
    *("*", "0", "7", "12", "23", "31", "59", "60", "07", "jan", "FEB", "sun", "xyz", "1-5", "5-1", "fri-mon"),
    *("nov-feb", "*/2", "*/0", "*/70", "1/3", "1-7/2", "1,2", "30,31", ",", "-1", "1-", "*-5", "?", "L", "1#2"),
    *("2-2", "99999"),
)


def test_what_is_taken_dagster_takes() -> None:
    """And of what Dagster takes, all but `L`, `#` and days that never come."""
    draw = random.Random(0)
    taken = 0
    for _ in range(3_000):
        text = " ".join(draw.choice(PARTS) if draw.random() < 0.4 else "*" for _ in range(5))
        try:
            taken += bool(check_cron(text))
        except ValueError as error:
            refused = (
                not is_valid_cron_string(text) or any(letter in text for letter in "L#") or "no day" in str(error)
            )
            assert refused, text
        else:
            assert is_valid_cron_string(text), text
    assert 500 < taken < 2_500


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0 3 * *", "write five fields"),
        ("@daily", "write five fields"),
        ("60 3 * * *", "'60' is no minute, which is 0 to 59"),
        ("0 3 * * monday", "'monday' is no day of the week"),
        ("*/0 3 * * *", "a step is 1 or more"),
        ("0 3 30 2 *", "there is no day 30 in month 2"),
        ("0 3 31 4,6 *", "there is no day 31 in month 4,6"),
        ("0 3 ٣ * *", "is no day"),
        ("0 3 1 1 " + "1," * 50_000, "is no day of the week"),
    ],
)
def test_mistakes_are_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        check_cron(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "zone", "following", "before"),
    [
        ("0 3 * * *", "UTC", "2026-11-29T03:00:00+00:00", "2026-11-28T03:00:00+00:00"),
        ("*/20 7-9 * * *", "UTC", "2026-11-28T07:20:00+00:00", "2026-11-28T07:00:00+00:00"),
        ("0 3 * * 7", "Europe/Berlin", "2026-11-29T03:00:00+01:00", "2026-11-22T03:00:00+01:00"),
        ("0 0 1 * mon", "UTC", "2026-11-30T00:00:00+00:00", "2026-11-23T00:00:00+00:00"),
        ("0 0 29 2 *", "UTC", "2028-02-29T00:00:00+00:00", "2024-02-29T00:00:00+00:00"),
    ],
)
def test_the_times_that_it_names(text: str, zone: str, following: str, before: str) -> None:
    now = datetime.datetime(2026, 11, 28, 7, 5, tzinfo=datetime.UTC)
    assert next_time(text, zone, now).isoformat() == following
    assert next_time(text, zone, now, back=True).isoformat() == before
