"""Tests of differences against textbook numbers, enumeration and simulation."""

import itertools
import math

import numpy as np
import pytest

from curriculum.report.hypotheses import (
    delay,
    holm,
    paired_difference,
    seeds_for_signs,
    seeds_needed,
    sign_flip_p,
    student_p,
    t_quantile,
)
from curriculum.report.statistics import bootstrap


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("df", "level", "expected"),  # printed tables
    [
        (1, 0.95, 12.7062),
        (2, 0.95, 4.3027),
        (4, 0.95, 2.7764),
        (9, 0.95, 2.2622),
        (30, 0.95, 2.0423),
        (4, 0.99, 4.6041),
        (120, 0.95, 1.9799),
        (5, 0.5, 0.7267),
    ],
)
def test_t_quantiles_agree_with_the_printed_table(df, level, expected):
    assert t_quantile(level, df) == pytest.approx(expected, abs=6e-5)


def test_paired_difference_of_five_seeds_is_the_textbook_interval():
    b = np.array([10.0, 20, 30, 40, 50])
    # differences of mean 0.5 and standard deviation 1
    a = b + 0.5 + np.array([-2, -1, 0, 1, 2]) / math.sqrt(2.5)
    mean, low, high, n, deviation, _ = paired_difference(a, b)
    assert (mean, low, high, deviation) == pytest.approx(
        (0.5, 0.5 - 2.7764 / math.sqrt(5), 0.5 + 2.7764 / math.sqrt(5), 1), abs=1e-4
    )
    assert n == 5


@pytest.mark.parametrize(("t", "df", "p"), [(4.3027, 2, 0.05), (4.6041, 4, 0.01)])
def test_p_agrees_with_the_printed_table(t, df, p):
    noise = np.arange(df + 1) - df / 2
    spread = noise / noise.std(ddof=1)  # standard deviation 1
    difference = spread + t / math.sqrt(df + 1)
    assert student_p(difference) == pytest.approx(p, abs=1e-4)
    assert student_p(-difference) == pytest.approx(p, abs=1e-4)


@pytest.mark.parametrize(("n", "p"), [(4, 1 / 8), (5, 1 / 16), (10, 1 / 512)])
def test_equal_differences_count_by_their_sign(n, p):
    b = generator().normal(100, 1, n)
    assert paired_difference(b + 1.0, b).p == p
    assert paired_difference(b - 1.0, b).p == p
    # returns are float32: their rounding is no spread
    rounded = (b + 1.0).astype(np.float32).astype(float)
    assert paired_difference(rounded, b).p == p
    assert paired_difference(b, b).p == 1


def test_paired_difference_drops_incomplete_pairs_and_bounds_nothing_with_one():
    a, b = np.array([1.0, np.nan, 5.0]), np.array([0.0, 7.0, np.nan])
    difference = paired_difference(a, b)
    assert (difference.mean, difference.n) == (1.0, 1)
    assert np.isnan([difference.low, difference.high, difference.p]).all()
    assert math.isnan(paired_difference(a[1:2], b[1:2]).mean)


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_incomplete_pairs_are_not_tested(missing):
    works = np.array([300.0, 310, 320, 330, 340])
    fails_twice = np.array([100.0, 110, 120, missing, missing])
    difference = paired_difference(fails_twice, works)
    assert (difference.mean, difference.n) == (-200, 3)
    assert math.isnan(difference.p)


def test_three_pairs_are_not_tested():
    difference = paired_difference(np.array([9.0, 9.01, 9.02]), np.zeros(3))
    assert difference.low > 0
    assert math.isnan(difference.p)
    assert math.isnan(delay(np.arange(3.0), np.arange(3.0) + 5, 100).p)


# --- times ---


def test_signs_are_tested_by_trying_all_of_them():
    difference = np.array([3.0, -1, 2, 2])
    sums = [np.dot(signs, difference) for signs in itertools.product([-1, 1], repeat=4)]
    by_hand = np.mean([abs(x) >= 6 for x in sums])
    assert sign_flip_p(difference) == by_hand
    assert sign_flip_p(np.zeros(4)) == 1


def test_signs_of_many_pairs_are_drawn():
    difference = generator().normal(0.5, 1, 20)
    exact = student_p(difference)  # of normal values, both agree
    assert sign_flip_p(difference) == pytest.approx(exact, abs=0.01)


def test_a_seed_that_never_succeeds_counts_as_the_last():
    never = np.nan
    fast_or_never = np.array([100.0, 110, never, never, never])
    slow = np.array([300.0, 310, 320, 330, 340])
    found = delay(fast_or_never, slow, last=1000)
    assert (found.earlier, found.later, found.n) == (2, 3, 5)
    assert found.mean == (-200 - 200 + 680 + 670 + 660) / 5
    # ranks 1 2 9 9 9 and 3 4 5 6 7: differences -2 -2 4 3 2, whose sum is 5; of all 32
    # signs, sums of at least 5, or at most -5, are met by 18
    assert found.p == 18 / 32


def test_times_after_the_end_of_the_shorter_run_are_never():
    found = delay(np.array([50.0, 60, 70]), np.array([150.0, 160, np.nan]), last=100)
    assert (found.earlier, found.later) == (3, 0)
    assert found.mean == pytest.approx(-40)
    both_never = delay(np.array([150.0, 160, 170, 180]), np.full(4, np.nan), last=100)
    assert (both_never.earlier, both_never.mean, both_never.p) == (0, 0, 1)


def test_six_pairs_can_show_what_comes_first_and_five_cannot():
    early, late = np.arange(6.0), np.arange(6.0) + 10
    assert delay(early, late, 100).p == 2 / 64
    assert delay(early[:5], late[:5], 100).p == 2 / 32
    assert seeds_for_signs(0.05) == 6


# --- many tests, few seeds ---


def test_holm_multiplies_the_smallest_first():
    p = np.array([0.01, 0.04, 0.03, np.nan])
    # .01 by 3, .03 by 2, .04 by 1 but not below the one before
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, np.nan])
    np.testing.assert_allclose(holm(np.array([[0.6, 0.7]])), [[1, 1]])


@pytest.mark.parametrize(
    ("effect", "seeds"),
    [(1.0, 10), (0.8, 15), (0.5, 34), (0.2, 199)],  # G*Power, paired t, power 80 %
)
def test_seeds_needed_are_those_of_the_textbook(effect, seeds):
    assert seeds_needed(effect) == seeds
    assert seeds_needed(-effect) == seeds


def test_no_number_of_seeds_shows_nothing():
    assert seeds_needed(0.0) == math.inf
    assert seeds_needed(0.05) == math.inf


def test_so_many_seeds_do_find_the_difference():
    n = int(seeds_needed(0.8))
    difference = generator().normal(0.8, 1, (20_000, n))
    assert (student_p(difference) < 0.05).mean() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_an_interval_covers_the_difference_as_often_as_it_says(n):
    difference = generator(n).normal(1.0, 2.0, (20_000, n))
    half_width = t_quantile(0.95, n - 1) * difference.std(-1, ddof=1) / math.sqrt(n)
    covered = np.abs(difference.mean(-1) - 1) <= half_width
    assert covered.mean() == pytest.approx(0.95, abs=0.01)
    # p says the same as the interval
    assert ((student_p(difference - 1) >= 0.05) == covered).all()
    one = paired_difference(difference[0], np.zeros(n))
    assert one.high - one.mean == pytest.approx(half_width[0])


def test_five_pairs_need_student_because_their_bootstrap_is_too_narrow():
    x = generator().normal(size=(1500, 5))
    low, high = bootstrap(x, lambda x: x.mean(-1), generator(1), draws=500)
    assert ((low < 0) & (high > 0)).mean() < 0.88


def draw(kind: str, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Returns of equal arms."""
    if kind == "half of them fail":
        return np.where(rng.random(shape) < 0.5, 9.0, -10.0) + rng.normal(size=shape)
    return rng.normal(size=shape)


@pytest.mark.parametrize("kind", ["normal", "half of them fail"])
@pytest.mark.parametrize("n", [4, 5, 10])
@pytest.mark.parametrize("arms", [2, 4])
def test_equal_arms_have_a_winner_in_at_most_five_percent_of_tables(kind, n, arms):
    rng = generator(n * arms)
    tables = 3_000
    final, area = draw(kind, rng, (2, tables, arms, n))
    area = 0.7 * final + 0.3 * area  # measures of one arm go together
    first = rng.exponential(1000, (tables, arms, n))
    p = []
    for arm in range(1, arms):
        for values in (final, area):
            p.append(student_p(values[:, arm] - values[:, 0], 1e-6))
        both = np.concatenate([first[:, arm], first[:, 0]], -1)
        ranks = both.argsort(-1).argsort(-1)
        p.append(sign_flip_p((ranks[:, :n] - ranks[:, n:]).astype(float)))
    named = (holm(np.stack(p, -1)) <= 0.05).any(-1)
    assert named.mean() <= 0.05
