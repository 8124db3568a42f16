"""What came out: effects with intervals over seeds, McNemar over items, and what could have been seen at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

from scipy import stats  # type: ignore[import-untyped]

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Effect:
    """What one arm has over another: the mean of the seeds' differences, its interval, and two tests' p.

    Of one seed there is neither an interval nor a test over seeds: None.
    """

    mean: float
    low: float | None
    high: float | None
    p_seeds: float | None
    p_items: float
    only_this: int
    only_other: int


def effect(this: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> Effect:
    """Of item scores by seed, paired in both. The interval is Student's over seeds; `p_items` is McNemar's, exact, of
    items of all seeds that one arm has right and the other wrong; it does not know that seeds share items."""
    differences = [fmean(a) - fmean(b) for a, b in zip(this, other, strict=True)]
    mean, count = fmean(differences), len(differences)
    low = high = p_seeds = None
    if count > 1:
        spread = stdev(differences)
        half = float(stats.t.ppf(1 - LEVEL / 2, count - 1)) * spread / math.sqrt(count)
        low, high = mean - half, mean + half
        certain = 1.0 if mean == 0 else 0.0
        p_seeds = float(stats.ttest_1samp(differences, 0.0).pvalue) if spread > 0 else certain
    pairs = [(a, b) for one, two in zip(this, other, strict=True) for a, b in zip(one, two, strict=True)]
    only_this, only_other = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    discordant = only_this + only_other
    p_items = float(stats.binomtest(only_this, discordant).pvalue) if discordant else 1.0
    return Effect(mean, low, high, p_seeds, p_items, only_this, only_other)


def power(difference: float, discordant: float, items: int) -> float:
    """The chance that McNemar's test (two-sided, 5 %) sees a true `difference` of two shares over so many items, when
    a share `discordant` of them is right in one arm alone (Connor 1987)."""
    if discordant <= abs(difference):
        discordant = abs(difference) + 1e-9
    normal = NormalDist()
    at = normal.inv_cdf(1 - LEVEL / 2)
    spread = math.sqrt(max(discordant - difference**2, 1e-12))
    return normal.cdf((abs(difference) * math.sqrt(items) - at * math.sqrt(discordant)) / spread)


def smallest_seen(discordant: float, items: int, wanted: float = 0.8) -> float:
    """The smallest difference that is seen with the power `wanted`."""
    low, high = 0.0, discordant
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, discordant, items) >= wanted else (middle, high)
    return high
