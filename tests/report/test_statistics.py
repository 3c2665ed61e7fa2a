"""Statistics against numbers worked out by hand, simulation and other libraries."""

import math

import numpy as np
import pytest

from curriculum.report.statistics import (
    area_under_curve,
    bootstrap,
    confidence,
    dip_and_recovery,
    improvement_interval,
    iqm,
    optimality_gap,
    probability_of_improvement,
    share_interval,
    stratified_bootstrap,
)


def mean(x):
    return x.mean(-1)


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], 4.5),  # 3 to 6 stay
        ([100, 3, 2, 1, -50], 2.0),  # one cut at each side: 1, 2, 3 stay
        # int(7 / 4) = 1 cut at each side: 1, 2, 3, 4, 9 stay
        ([9, 1, 2, 4, 3, 90, 0], 19 / 5),
        ([1, 2, 6], 3.0),  # too few to cut
        ([7], 7.0),
    ],
)
def test_iqm_averages_the_middle_half(values, expected):
    assert iqm(np.array(values)) == pytest.approx(expected)


def test_iqm_works_along_the_last_axis_and_reports_missing_values():
    x = np.array([[1.0, 2, 3, 100], [5, 5, 5, np.nan]])
    assert iqm(x)[0] == pytest.approx(2.5)
    assert np.isnan(iqm(x)[1])


def test_bootstrap_interval_holds_the_truth_about_as_often_as_it_says():
    low, high = bootstrap(
        generator().normal(3.0, 1.0, (600, 40)), mean, generator(1), draws=500
    )
    assert low.shape == (600,)
    assert 0.90 < ((low < 3) & (high > 3)).mean() < 0.97


def test_bootstrap_of_a_mean_is_as_wide_as_its_standard_error():
    x = generator().normal(size=400)
    low, high = bootstrap(x, mean, generator(1))
    assert high - low == pytest.approx(2 * 1.96 * x.std() / 20, rel=0.06)


@pytest.mark.parametrize("function", [bootstrap, stratified_bootstrap])
def test_bootstrap_of_constant_values_has_no_width(function):
    assert function(np.full((3, 7), 2.0), mean, generator(), draws=50) == (
        pytest.approx(2.0),
        pytest.approx(2.0),
    )


@pytest.mark.parametrize("function", [bootstrap, stratified_bootstrap])
def test_bootstrap_repeats_itself_with_the_same_generator(function):
    x = generator().normal(size=(2, 9))
    first, second = (function(x, iqm, generator(5), draws=100) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_stratified_bootstrap_leaves_out_how_seeds_differ():
    x = np.array([[0.0], [100.0]]) + generator().normal(size=(2, 50))
    low, high = stratified_bootstrap(x, mean, generator(1))
    # 100 episodes of spread 1, not of spread 50
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(100), rel=0.2)


def test_probability_of_improvement_counts_all_pairs_and_ties_half():
    a = np.array([3.0, 1.0])
    b = np.array([1.0, 2.0, 0.0])
    # 3 beats all three; 1 ties with 1, loses to 2, beats 0
    assert probability_of_improvement(a, b) == (3 + 0.5 + 0 + 1) / 6
    assert probability_of_improvement(b, a) == pytest.approx(1 - 4.5 / 6)
    assert np.isnan(probability_of_improvement(np.array([1.0, np.nan]), b))


def test_probability_of_improvement_of_separate_arms_has_no_width():
    a, b = np.array([3.0, 4, 5]), np.array([0.0, 1])
    assert improvement_interval(a, b, generator()) == (1, 1)
    low, high = improvement_interval(np.array([0.0, 2]), np.array([1.0]), generator())
    assert (low, high) == (0, 1)  # of two values, one is above


def test_optimality_gap_is_the_mean_shortfall():
    score = np.array([[0.5, 1.0, 1.5, -1.0], [2, 2, 2, 2]])
    np.testing.assert_allclose(optimality_gap(score), [(0.5 + 0 + 0 + 2) / 4, 0])
    assert optimality_gap(score[1], best=3.0) == 1


def test_iqm_and_intervals_agree_with_rliable():
    pytest.importorskip("arch", reason="rliable 1.0 needs arch")
    estimates = pytest.importorskip(
        "rliable.library", reason="compared with rliable 1.0"
    )
    metrics = pytest.importorskip("rliable.metrics", reason="as above")
    score = generator().normal(0.8, 0.3, (10, 4))  # of runs and tasks
    other = generator(1).normal(0.6, 0.3, (10, 4))
    assert iqm(score.ravel()) == pytest.approx(metrics.aggregate_iqm(score))
    gap = metrics.aggregate_optimality_gap(score)
    assert optimality_gap(score.ravel()) == pytest.approx(gap)
    pairs = [probability_of_improvement(score[:, t], other[:, t]) for t in range(4)]
    theirs = metrics.probability_of_improvement(score, other)
    assert np.mean(pairs) == pytest.approx(theirs)
    _, intervals = estimates.get_interval_estimates(
        {"a": score}, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=5000
    )
    low, high = stratified_bootstrap(score.T, iqm, generator(2), draws=5000)
    assert [low, high] == pytest.approx(intervals["a"][:, 0].tolist(), abs=0.01)


def test_confidence_is_mean_and_standard_errors():
    # variance 5/3, so a standard error of sqrt(5/12)
    x = np.array([[1.0, 2, 3, 4], [5, 5, 5, 5]])
    average, low, high = confidence(x)
    np.testing.assert_allclose(average, [2.5, 5])
    np.testing.assert_allclose(high - average, [1.96 * 0.6454972, 0], rtol=1e-6)
    np.testing.assert_allclose(average - low, high - average)


def test_confidence_of_one_episode_is_unknown():
    average, low, high = confidence(np.array([[3.0]]))
    assert average[0] == 3
    assert np.isnan([low[0], high[0]]).all()


def test_a_share_has_an_interval_where_all_cases_are_alike():
    # Wilson's bounds for 10 of 10 are n / (n + z^2) and 1
    low, high = share_interval(1.0, 10)
    assert low == pytest.approx(10 / (10 + 1.96**2))
    assert high == 1
    low, high = share_interval(0.0, 10)
    assert (low, high) == (0, pytest.approx(1.96**2 / (10 + 1.96**2)))
    # 81 of 263: the example of Newcombe (1998), table I
    assert share_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_area_under_curve_weighs_uneven_steps():
    steps = np.array([0, 10, 40])
    values = np.array([[0.0, 2, 4], [1, 1, 1]])  # (10 * 1 + 30 * 3) / 40
    np.testing.assert_allclose(area_under_curve(steps, values), [2.5, 1])
    assert area_under_curve(steps[:1], values[:, :1]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 4, 1, 3, 5, 4], (3, 30)),  # left 4 at step 10, passed it again at step 40
        ([0, 4, 4, 1, 4, 5], (3, 20)),  # the fall begins at the last 4
        ([0, 4, 1, 3, 3, 3], (3, math.inf)),
        ([0, 1, 1, 2, 3, 4], (0, 0)),
        ([5, np.nan, 2, np.nan, 5, np.nan], (3, 40)),
        ([3, 2, 3, 9, 4, 8], (5, math.inf)),  # the deepest fall counts, not the first
    ],
)
def test_dip_and_recovery(values, expected):
    dip = dip_and_recovery(np.arange(0, 60, 10), np.array(values, float))
    assert (dip.depth, dip.recovery) == expected


def test_a_dip_says_where_it_began_and_was_deepest():
    dip = dip_and_recovery(np.arange(0, 60, 10), np.array([0.0, 4, 4, 1, 2, 5]))
    assert (dip.begin, dip.bottom) == (20, 30)


@pytest.mark.parametrize(
    ("tolerance", "recovery"),
    [(0.5, 40), (1, 30), (3, 0), (0, math.inf)],
)
def test_a_curve_has_recovered_within_the_tolerance(tolerance, recovery):
    values = np.array([0, 8, 5, 6, 7, 7.5])
    assert dip_and_recovery(np.arange(0, 60, 10), values, tolerance)[:2] == (
        3,
        recovery,
    )


def test_dip_of_nothing_is_unknown():
    assert np.isnan(
        dip_and_recovery(np.array([0, 1]), np.array([np.nan, np.nan]))
    ).all()
