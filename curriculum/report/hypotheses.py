"""Tests of the difference between two arms, made for few seeds.

Values of two arms are paired by seed. Means are compared by Student's t, times until
something happens by the signs of their differences in rank.
"""

import math
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

LEVEL = 0.05  # share of comparisons in which chance alone may name a winner
POWER = 0.8  # share of comparisons in which a true difference shall be found
# three seeds that either succeed or fail are all alike in one arm, and all alike in
# another way in a second one, too often
FEWEST_PAIRS = 4
EXACT_PAIRS = 14  # up to which all signs are tried
DRAWS = 20_000  # of signs, for more pairs
MOST_SEEDS = 1_000  # that are worth a number
ROUNDING = 1e-6  # of a value; returns are float32 sums


class Difference(NamedTuple):
    """The mean difference of two arms on the seeds they share."""

    mean: float
    low: float
    high: float
    n: int  # pairs in which neither value is missing
    deviation: float  # standard deviation over these pairs
    # share of comparisons of equal arms with so large a mean; nan where a pair is
    # incomplete or there are too few
    p: float


class Delay(NamedTuple):
    """How much later something happens in one arm than in another."""

    mean: float  # where it never happens, the last moment counts
    earlier: int  # pairs in which it happens earlier
    later: int
    n: int  # pairs
    effect: float  # mean of the differences in rank by their standard deviation
    p: float  # as in `Difference`


def paired_difference(
    a: np.ndarray, b: np.ndarray, level: float = 1 - LEVEL
) -> Difference:
    """Bound the mean of a - b by Student's t over pairs; a [n] and b [n] have one value
    for each shared seed.

    A bootstrap would be too narrow: for five pairs, its 95 % interval contains the true
    mean in about 84 % of cases. Pairs with a missing value are left out, and nothing is
    tested: an arm must not win by the seeds on which it failed."""
    a = np.asarray(a, float)
    b = np.asarray(b, float)
    complete = np.isfinite(a) & np.isfinite(b)
    difference = (a - b)[complete]
    n = len(difference)
    if n < 2:
        mean = float(difference.mean()) if n else math.nan
        return Difference(mean, math.nan, math.nan, n, math.nan, math.nan)
    mean = float(difference.mean())
    deviation = float(difference.std(ddof=1))
    half_width = t_quantile(level, n - 1) * deviation / math.sqrt(n)
    p = math.nan
    if complete.all() and n >= FEWEST_PAIRS:
        rounding = ROUNDING * float(np.abs([a, b]).max())
        p = float(student_p(difference, rounding))
    return Difference(mean, mean - half_width, mean + half_width, n, deviation, p)


def student_p(difference: np.ndarray, rounding: float = 0.0) -> np.ndarray:
    """How often the mean of `difference` [..., n] would be so far from 0 if it was 0 in
    truth, by Student's t.

    Differences that are the same in all pairs, up to `rounding`, have no spread to
    compare with: then only their common sign counts."""
    n = difference.shape[-1]
    mean = difference.mean(-1)
    deviation = difference.std(-1, ddof=1)
    is_alike = deviation <= rounding
    safe = np.where(is_alike, 1.0, deviation)
    angle = np.arctan(np.abs(mean) / safe * math.sqrt(n / (n - 1)))
    p = 1 - _t_mass(angle, n - 1)
    of_sign = np.where(np.abs(mean) <= rounding, 1.0, 0.5 ** (n - 1))
    return np.where(is_alike, of_sign, p)


def delay(a: np.ndarray, b: np.ndarray, last: float) -> Delay:
    """Compare the times of an event in pairs, a [n] and b [n]; nan or a time after
    `last` counts as never.

    All times are ranked together, never above the last of them; then the signs of the
    differences in rank are tested (O'Brien and Fleming 1987, with ranks as scores). No
    seed is dropped."""
    a = _times(a, last)
    b = _times(b, last)
    difference = np.minimum(a, last) - np.minimum(b, last)
    ranks = _ranks(np.concatenate([a, b]))
    n = len(a)
    of_rank = ranks[:n] - ranks[n:]
    deviation = float(of_rank.std(ddof=1)) if n > 1 else 0.0
    effect = math.inf if of_rank.any() else 0.0
    if deviation:
        effect = float(of_rank.mean()) / deviation
    return Delay(
        mean=float(difference.mean()),
        earlier=int((a < b).sum()),
        later=int((a > b).sum()),
        n=n,
        effect=effect,
        p=float(sign_flip_p(of_rank)) if n >= FEWEST_PAIRS else math.nan,
    )


def _times(values: np.ndarray, last: float) -> np.ndarray:
    values = np.asarray(values, float)
    happened = values <= last  # false for nan
    return np.where(happened, values, np.inf)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 on; equal values share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[place]


def sign_flip_p(difference: np.ndarray) -> np.ndarray:
    """How often the sum of `difference` [..., n] would be so far from 0 if each sign
    was drawn by a coin: exact for few pairs, by draws for more."""
    n = difference.shape[-1]
    if n <= EXACT_PAIRS:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    else:
        bits = np.random.default_rng(0).integers(2, size=(DRAWS, n))
        bits[0] = 1  # the signs that were met are one possibility
    signs = 2.0 * bits - 1
    sums = np.abs(difference @ signs.T)
    met = np.abs(difference.sum(-1))
    nearly = 1e-9 * np.abs(difference).sum(-1)  # sums in another order
    return (sums >= (met - nearly)[..., None]).mean(-1)


def holm(p: np.ndarray) -> np.ndarray:
    """Adjust p [..., m] for m tests (Holm 1979): those of at most 5 % afterwards hold
    together in 95 % of cases, however the tests depend on each other.

    Tests that were not made, nan, do not count."""
    order = np.argsort(p, axis=-1)  # nan last
    ordered = np.take_along_axis(p, order, -1)
    count = np.isfinite(p).sum(-1, keepdims=True)
    remaining = np.maximum(count - np.arange(p.shape[-1]), 1)
    raised = np.minimum(ordered * remaining, 1.0)
    adjusted = np.empty_like(raised)
    largest = np.maximum.accumulate(raised, axis=-1)
    np.put_along_axis(adjusted, order, largest, -1)
    return adjusted


def seeds_needed(effect: float, level: float = LEVEL, power: float = POWER) -> float:
    """How many pairs find a difference of `effect` standard deviations at `level` in
    the share `power` of comparisons; inf for more than `MOST_SEEDS`.

    By quantiles of Student's t, which is exact to one pair."""
    if not effect:
        return math.inf
    normal = NormalDist()
    quantiles = normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power)
    n = max(FEWEST_PAIRS, int((quantiles / effect) ** 2))  # too few, but nearly enough
    while n <= MOST_SEEDS:
        found = t_quantile(1 - level, n - 1) + t_quantile(2 * power - 1, n - 1)
        if found**2 <= n * effect**2:
            return n
        n += 1
    return math.inf


def seeds_for_signs(level: float = LEVEL) -> int:
    """The fewest pairs in which a test of signs can be as sure as `level`."""
    return math.ceil(1 + math.log2(1 / level))


# --- Student's distribution ---


@cache
def t_quantile(level: float, df: int) -> float:
    """Find t such that Student's distribution with `df` degrees of freedom has the
    share `level` in [-t, t]."""
    # bisection in the angle, t = sqrt(df) * tan(angle)
    low = 0.0
    high = math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        if _t_mass(np.asarray(angle), df) < level:
            low = angle
        else:
            high = angle
    return math.sqrt(df) * math.tan(low)


def _t_mass(angle: np.ndarray, df: int) -> np.ndarray:
    """Share of Student's distribution in [-t, t] (Abramowitz and Stegun, 26.7.3 for odd
    and 26.7.4 for even degrees of freedom)."""
    is_odd = df % 2
    cosine = np.cos(angle)
    term = cosine if is_odd else np.ones_like(angle)
    total = np.zeros_like(angle)
    for k in range(1 + is_odd, df, 2):
        total = total + term
        term = term * cosine**2 * k / (k + 1)
    if is_odd:
        return 2 / math.pi * (angle + np.sin(angle) * total)
    return np.sin(angle) * total
