"""What a handful of seeds allows us to say: robust means, intervals, paired
differences, and curves as one number."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]  # reduces the last axis, such as `iqm`


class Difference(NamedTuple):
    """How two arms differ on the seeds they share."""

    mean: float
    low: float
    high: float
    n: int  # pairs in which neither value is missing
    # 1 the first arm, -1 the second, 0 where the interval holds zero or does not exist
    winner: int


class Dip(NamedTuple):
    """The deepest set-back of one learning curve."""

    # largest fall below the best value so far, 0 where the curve never falls
    depth: float
    # environment steps from that best value until it is reached again, inf where it
    # never is
    recovery: float


def iqm(x: np.ndarray) -> np.ndarray:
    """Average the middle half of the last axis (Agarwal et al. 2021, arXiv 2108.13264).

    Of n values, int(n / 4) are cut at each side, so fewer than 4 give the plain mean. A
    missing value gives nan."""
    x = np.sort(x, axis=-1)
    n = x.shape[-1]
    middle = x[..., n // 4 : n - n // 4].mean(-1)
    # nan sorts last, where it would be cut unseen
    return np.where(np.isnan(x[..., -1]), np.nan, middle)


def bootstrap(
    x: np.ndarray,
    statistic: Statistic,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Bound `statistic` of x [..., n] by a percentile bootstrap: (low [...], high
    [...]).

    All leading entries are resampled alike, which keeps seeds paired along a curve. Too
    narrow for fewer than about 20 values: use it to draw, and `paired_difference` to
    decide."""
    n = x.shape[-1]
    # of [..., draws]
    return _percentiles(statistic(x[..., rng.integers(n, size=(draws, n))]), level)


def stratified_bootstrap(
    x: np.ndarray,
    statistic: Statistic,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Bound `statistic` of all of x [seeds, episodes], resampling episodes within each
    seed: (low, high).

    It tells how far other episodes would move the result of these very seeds, not how
    other seeds would fare."""
    draw = rng.integers(x.shape[-1], size=(draws, *x.shape))
    return _percentiles(
        statistic(np.take_along_axis(x[None], draw, -1).reshape(draws, -1)), level
    )


def _percentiles(values: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=-1)
    return low, high


def paired_difference(a: np.ndarray, b: np.ndarray, level: float = 0.95) -> Difference:
    """Bound the mean of a - b by Student's t over pairs; a [n] and b [n] hold one value
    for each shared seed.

    A bootstrap would be too narrow here: of five pairs, its 95 % interval holds the
    truth about 84 times in 100. Pairs with a missing value are left out; fewer than two
    pairs give nan bounds and no winner."""
    difference = np.asarray(a, float) - np.asarray(b, float)
    difference = difference[~np.isnan(difference)]
    n = len(difference)
    mean = float(difference.mean()) if n else math.nan
    if n < 2:
        return Difference(mean, math.nan, math.nan, n, 0)
    half = t_quantile(level, n - 1) * float(difference.std(ddof=1)) / math.sqrt(n)
    return Difference(
        mean, mean - half, mean + half, n, int(mean - half > 0) - int(mean + half < 0)
    )


def t_quantile(level: float, df: int) -> float:
    """Find t such that Student's distribution with `df` degrees of freedom has the
    share `level` in [-t, t]."""
    low, high = 0.0, math.pi / 2  # t = sqrt(df) * tan(angle)
    for _ in range(60):
        angle = (low + high) / 2
        low, high = (angle, high) if _t_mass(angle, df) < level else (low, angle)
    return math.sqrt(df) * math.tan(low)


def _t_mass(angle: float, df: int) -> float:
    """Share of Student's distribution in [-t, t], exact (Abramowitz and Stegun 26.7.3
    and 26.7.4)."""
    odd, cosine, total = df % 2, math.cos(angle), 0.0
    term = cosine if odd else 1.0
    for k in range(1 + odd, df, 2):
        total += term
        term *= cosine**2 * k / (k + 1)
    return (
        2 / math.pi * (angle + math.sin(angle) * total)
        if odd
        else math.sin(angle) * total
    )


def confidence(
    x: np.ndarray, z: float = 1.96
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average per-episode scores x [..., n] and bound the mean by `z` standard errors:
    (mean, low, high), each [...].

    The normal approximation wants dozens of episodes; a single one gives nan bounds."""
    n = x.shape[-1]
    mean = x.mean(-1)
    half = (
        z * x.std(-1, ddof=1) / math.sqrt(n)
        if n > 1
        else np.full_like(mean, np.nan, dtype=float)
    )
    return mean, mean - half, mean + half


def area_under_curve(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Average curves `values` [..., U] over the range of `steps` [U] by the trapezoid
    rule, in the unit of the values.

    Steps may be unevenly spaced; one step alone gives its value, a missing value gives
    nan."""
    span = steps[-1] - steps[0]
    return np.trapezoid(values, steps, axis=-1) / span if span else values.mean(-1)


def dip_and_recovery(steps: np.ndarray, values: np.ndarray) -> Dip:
    """Measure the largest fall of one curve `values` [U] at `steps` [U]; missing values
    are skipped, none gives nan."""
    steps, values = steps[~np.isnan(values)], values[~np.isnan(values)]
    if not len(values):
        return Dip(math.nan, math.nan)
    best = np.maximum.accumulate(values)
    bottom = int(np.argmax(best - values))
    if values[bottom] == best[bottom]:
        return Dip(0.0, 0.0)
    level = best[bottom]
    # the fall begins when the level is left for good
    last = np.flatnonzero(values[:bottom] == level)[-1]
    again = np.flatnonzero(values[bottom:] >= level)
    recovery = float(steps[bottom + again[0]] - steps[last]) if len(again) else math.inf
    return Dip(float(level - values[bottom]), recovery)
