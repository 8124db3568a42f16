"""Text made fit to be shown: whatever captions and models hold, in one line; counts and lists in words."""

from collections.abc import Sequence


def printable(text: str) -> str:
    """One line: white space joined, control and direction characters made visible."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(text.split())
    )


def counted(count: int, noun: str) -> str:
    """`1 shard`, `2 shards`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def bytes_text(count: float) -> str:
    """`4.1 MB`, `12 GB`: in powers of 1000, as disks and hubs count."""
    unit = "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 999.5 or unit == "TB":
            break
        count /= 1000
    return f"{count:.{0 if unit == 'B' or count >= 9.95 else 1}f} {unit}"


def duration_text(seconds: float) -> str:
    """`40 seconds`, `12 minutes`, `2.1 hours`: as exact as an estimate is."""
    if seconds < 99.5:
        return counted(round(seconds), "second")
    return f"{seconds / 60:.0f} minutes" if seconds < 5_970 else f"{seconds / 3600:,.1f} hours"


def listed(items: Sequence[object], most: int, total: int | None = None) -> list[str]:
    """At most `most` of the items as text, and how many more there are of `total`, which may be more than `items`."""
    lines = [str(item) for item in items[:most]]
    more = (len(items) if total is None else total) - len(lines)
    return lines + ([f"... and {more:,} more"] if more > 0 else [])


def shortened(text: str, most: int = 200) -> str:
    """At most `most` characters and how many there were: what is told of an input never repeats all of it."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"
