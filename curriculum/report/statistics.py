"""Statistics of few seeds: robust means, intervals, paired differences and curves."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]  # reduces the last axis, such as `iqm`


class Interval(NamedTuple):
    """Bounds of a statistic."""

    low: np.ndarray
    high: np.ndarray


class Confidence(NamedTuple):
    """A mean and its bounds."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Difference(NamedTuple):
    """The difference of two arms on the seeds they share."""

    mean: float
    low: float
    high: float
    n: int  # pairs in which neither value is missing
    # 1 the first arm, -1 the second, 0 if the interval contains zero or does not exist,
    # or if a pair is incomplete
    winner: int


class Dip(NamedTuple):
    """The deepest drop of one learning curve."""

    # largest drop below the best value so far, 0 for a curve that never falls
    depth: float
    # environment steps from that best value until it is reached again, inf if never
    recovery: float
    # steps at which the drop began and was deepest, nan without one
    begin: float = math.nan
    bottom: float = math.nan


def iqm(x: np.ndarray) -> np.ndarray:
    """Average the middle half of the last axis (Agarwal et al. 2021, arXiv 2108.13264).

    Of n values, int(n / 4) are cut at each side, so fewer than 4 give the plain mean. A
    missing value gives nan."""
    ordered = np.sort(x, axis=-1)
    n = ordered.shape[-1]
    cut = n // 4
    middle = ordered[..., cut : n - cut].mean(-1)
    # sorting puts nan last, where it would be cut
    has_missing = np.isnan(ordered[..., -1])
    return np.where(has_missing, np.nan, middle)


def bootstrap(
    x: np.ndarray,
    statistic: Statistic,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Bound `statistic` of x [..., n] by a percentile bootstrap.

    All leading entries are resampled alike, which keeps seeds paired along a curve. The
    interval is too narrow for fewer than about 20 values: use it to draw, and
    `paired_difference` to decide."""
    n = x.shape[-1]
    indices = rng.integers(n, size=(draws, n))
    resampled = statistic(x[..., indices])  # [..., draws]
    return _percentiles(resampled, level)


def stratified_bootstrap(
    x: np.ndarray,
    statistic: Statistic,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Bound `statistic` of all of x [seeds, episodes], resampling episodes within each
    seed.

    The interval covers other episodes of the same seeds, not other seeds."""
    indices = rng.integers(x.shape[-1], size=(draws, *x.shape))
    resampled = np.take_along_axis(x[None], indices, -1)
    return _percentiles(statistic(resampled.reshape(draws, -1)), level)


def _percentiles(values: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=-1)
    return Interval(low, high)


def paired_difference(a: np.ndarray, b: np.ndarray, level: float = 0.95) -> Difference:
    """Bound the mean of a - b by Student's t over pairs; a [n] and b [n] have one value
    for each shared seed.

    A bootstrap would be too narrow: for five pairs, its 95 % interval contains the true
    mean in about 84 % of cases. Pairs with a missing value are left out and leave no
    winner: an arm must not win by the seeds on which it failed. Fewer than two pairs
    give nan bounds."""
    all_pairs = np.asarray(a, float) - np.asarray(b, float)
    difference = all_pairs[np.isfinite(all_pairs)]
    n = len(difference)
    mean = float(difference.mean()) if n else math.nan
    if n < 2:
        return Difference(mean, math.nan, math.nan, n, winner=0)
    deviation = float(difference.std(ddof=1))
    half_width = t_quantile(level, n - 1) * deviation / math.sqrt(n)
    low = mean - half_width
    high = mean + half_width
    winner = int(low > 0) - int(high < 0)
    if n < len(all_pairs):
        winner = 0
    return Difference(mean, low, high, n, winner)


def t_quantile(level: float, df: int) -> float:
    """Find t such that Student's distribution with `df` degrees of freedom has the
    share `level` in [-t, t]."""
    # bisection in the angle, t = sqrt(df) * tan(angle)
    low = 0.0
    high = math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        if _t_mass(angle, df) < level:
            low = angle
        else:
            high = angle
    return math.sqrt(df) * math.tan(low)


def _t_mass(angle: float, df: int) -> float:
    """Share of Student's distribution in [-t, t] (Abramowitz and Stegun, 26.7.3 for odd
    and 26.7.4 for even degrees of freedom)."""
    is_odd = df % 2
    cosine = math.cos(angle)
    term = cosine if is_odd else 1.0
    total = 0.0
    for k in range(1 + is_odd, df, 2):
        total += term
        term *= cosine**2 * k / (k + 1)
    if is_odd:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total


def confidence(x: np.ndarray, z: float = 1.96) -> Confidence:
    """Average x [..., n] over its last axis and bound the mean by `z` standard errors.

    The normal approximation needs dozens of values; a single one gives nan bounds."""
    n = x.shape[-1]
    mean = x.mean(-1)
    if n > 1:
        half_width = z * x.std(-1, ddof=1) / math.sqrt(n)
    else:
        half_width = np.full_like(mean, np.nan, dtype=float)
    return Confidence(mean, mean - half_width, mean + half_width)


def area_under_curve(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Average curves `values` [..., U] over the range of `steps` [U] by the trapezoid
    rule, in the unit of the values.

    Steps may be unevenly spaced. A single step gives its value, a missing value nan."""
    span = steps[-1] - steps[0]
    if not span:
        return values.mean(-1)
    return np.trapezoid(values, steps, axis=-1) / span


def dip_and_recovery(
    steps: np.ndarray, values: np.ndarray, tolerance: float = 0.0
) -> Dip:
    """Measure the deepest drop of one curve `values` [U] at `steps` [U].

    The best value is reached again where the curve is below it by `tolerance` at most;
    a drop no deeper than that takes no steps. Missing values are skipped; a curve of
    missing values gives nan."""
    present = ~np.isnan(values)
    steps = steps[present]
    values = values[present]
    if not len(values):
        return Dip(math.nan, math.nan)
    best = np.maximum.accumulate(values)
    bottom = int(np.argmax(best - values))
    if values[bottom] == best[bottom]:
        return Dip(0.0, 0.0)
    level = best[bottom]
    depth = float(level - values[bottom])
    # the drop begins at the last visit of the best value
    start = np.flatnonzero(values[:bottom] == level)[-1]
    begin = float(steps[start])
    reached = np.flatnonzero(values[bottom:] >= level - tolerance)
    recovery = math.inf
    if depth <= tolerance:
        recovery = 0.0
    elif len(reached):
        recovery = float(steps[bottom + reached[0]]) - begin
    return Dip(depth, recovery, begin, float(steps[bottom]))
