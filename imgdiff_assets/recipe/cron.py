"""Cron expressions of five fields, as in `0 3 * * *`: whether Dagster's schedules take one, said before it is started.

Numbers, names, lists, ranges (also over the end, as in fri-mon), steps, and `?` for any day; what few programs
read besides, such as `L` and `#`, is refused.
"""

import datetime
import re
from collections.abc import Sequence
from itertools import count, product
from zoneinfo import ZoneInfo

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LONGEST_MONTHS = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
FIELDS: Sequence[tuple[str, int, int, Sequence[str]]] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of the week", 0, 7, WEEKDAYS),
)
NUMBER = "[0-9]{1,2}|[a-z]{3}"
PART = re.compile(rf"(?:\*|(?P<first>{NUMBER})(?:-(?P<last>{NUMBER}))?)(?:/(?P<step>[0-9]{{1,2}}))?")


def check_cron(text: str) -> str:
    """`text`. Raises ValueError for what is no cron expression, or names days that never come, such as 30 February."""
    fields = text.split()
    if len(fields) != len(FIELDS):
        raise ValueError("write five fields: minute, hour, day, month and day of the week, as in 0 3 * * *")
    values = [
        _values("*" if field == "?" and about[0].startswith("day") else field, *about)
        for field, about in zip(fields, FIELDS, strict=True)
    ]
    _, _, days, months, _ = values
    if all(min(days) > LONGEST_MONTHS.get(month, 31) for month in months):
        raise ValueError(f"there is no day {fields[2]} in month {fields[3]}")
    return text


def next_time(text: str, timezone: str, moment: datetime.datetime, back: bool = False) -> datetime.datetime:
    """The first time after a moment that a cron expression names, or with `back` the last one not after it.

    `moment` has a time zone. The answer is in `timezone`.
    """
    zone = ZoneInfo(timezone)
    now = moment.astimezone(zone)
    fields = text.split()
    minutes, hours, days, months, weekdays = (
        sorted(_values("*" if field == "?" else field, *about)) for field, about in zip(fields, FIELDS, strict=True)
    )
    either = fields[2] not in "*?" and fields[4] not in "*?"
    for distance in count():
        date = now.date() + datetime.timedelta(days=-distance if back else distance)
        fits = date.day in days, bool({date.isoweekday(), date.isoweekday() % 7} & {*weekdays})
        if date.month in months and (any(fits) if either else all(fits)):
            times = [datetime.datetime.combine(date, datetime.time(*at), zone) for at in product(hours, minutes)]
            found = [time for time in times if (time.timestamp() <= now.timestamp()) == back]
            if found:
                return found[-1 if back else 0]
    raise AssertionError("a cron expression names some time")


def _values(field: str, name: str, low: int, high: int, names: Sequence[str]) -> set[int]:
    """What a field stands for."""
    found: set[int] = set()
    for part in field.lower().split(","):
        match = PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no {name}: write a number, a range as in 1-5, a step as in */2, or *")
        first, last, step = match["first"], match["last"], int(match["step"] or 1)
        start = low if first is None else _number(first, name, low, high, names)
        end = high if first is None or (last is None and match["step"]) else start
        end = _number(last, name, low, high, names) if last is not None else end
        if step == 0:
            raise ValueError(f"{part!r} is no {name}: a step is 1 or more")
        span = high - low + 1
        found.update(low + (place - low) % span for place in range(start, end + 1 + span * (start > end), step))
    return found


def _number(text: str, name: str, low: int, high: int, names: Sequence[str]) -> int:
    # Sunday is 0 or 7, and names count from the lowest.
    number = int(text) if text.isdecimal() else names.index(text) + low if text in names else -1
    if not low <= number <= high:
        raise ValueError(f"{text!r} is no {name}, which is {low} to {high}")
    return number
