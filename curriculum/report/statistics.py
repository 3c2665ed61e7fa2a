"""Statistics of few seeds: robust means, intervals and curves."""

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


def optimality_gap(score: np.ndarray, best: float = 1.0) -> np.ndarray:
    """How far the last axis of `score` is below `best` in the mean, where more than
    that counts as nothing (Agarwal et al. 2021)."""
    return np.maximum(best - score, 0.0).mean(-1)


def probability_of_improvement(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How often a value of a [..., n] is above one of b [..., m], equal ones half, over
    all of their pairs (Agarwal et al. 2021)."""
    difference = a[..., :, None] - b[..., None, :]
    is_missing = np.isnan(difference)
    wins = (difference > 0) + 0.5 * (difference == 0)
    return np.where(is_missing, np.nan, wins).mean((-2, -1))


def improvement_interval(
    a: np.ndarray,
    b: np.ndarray,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Bound the probability that a [n] improves on b [m], resampling both."""
    of_a = a[rng.integers(len(a), size=(draws, len(a)))]
    of_b = b[rng.integers(len(b), size=(draws, len(b)))]
    return _percentiles(probability_of_improvement(of_a, of_b), level)


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
    `hypotheses.paired_difference` to decide."""
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
    """Bound `statistic` of all of x [strata, n], resampling within each stratum, such
    as the seeds of each task or the episodes of each seed.

    The interval covers other values of the same strata, not other strata."""
    indices = rng.integers(x.shape[-1], size=(draws, *x.shape))
    resampled = np.take_along_axis(x[None], indices, -1)
    return _percentiles(statistic(resampled.reshape(draws, -1)), level)


def _percentiles(values: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=-1)
    return Interval(low, high)


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


def share_interval(share: float, n: int, z: float = 1.96) -> Interval:
    """Bound the probability behind a share of n cases (Wilson 1927): not empty where
    all cases are alike."""
    centre = share + z**2 / (2 * n)
    half_width = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    whole = 1 + z**2 / n
    low = (centre - half_width) / whole
    high = (centre + half_width) / whole
    return Interval(np.asarray(max(low, 0.0)), np.asarray(min(high, 1.0)))


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
