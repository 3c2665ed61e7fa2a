"""Divergences of small distributions, worked out by hand."""

import itertools
import math

import numpy as np
import pytest

from curriculum.report import divergence


def test_smoothing_adds_one_count_in_all() -> None:
    # (3 + 1/4) / 5 and (0 + 1/4) / 5
    expected = [0.65, 0.25, 0.05, 0.05]
    np.testing.assert_allclose(divergence.smoothed(np.array([3.0, 1, 0, 0])), expected)


def test_relative_entropy_of_a_coin() -> None:
    # 1/2 log(1/2 / 1/4) + 1/2 log(1/2 / 3/4)
    expected = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    found = divergence.relative_entropy(np.array([0.5, 0.5]), np.array([0.25, 0.75]))
    assert found == pytest.approx(expected)


def test_actions_that_are_never_taken_cost_nothing() -> None:
    found = divergence.relative_entropy(np.array([0.0, 1]), np.array([0.5, 0.5]))
    assert found == pytest.approx(math.log(2))


def test_total_variation_is_1_for_disjoint_actions() -> None:
    p = np.array([0.5, 0.5, 0, 0])
    q = np.array([[0, 0, 0.3, 0.7], [0.2, 0.5, 0.3, 0]])
    np.testing.assert_allclose(divergence.total_variation(p, q), [1, 0.3])


def test_the_legacy_number_of_295_actions_never_exceeds_0_0058() -> None:
    # the largest value that a search over distributions of 295 actions found
    assert divergence.legacy_bound(295) == pytest.approx(0.0058, abs=5e-5)
    one, other = np.eye(295)[:2]
    assert divergence.legacy(one, other) == pytest.approx(divergence.legacy_bound(295))


@pytest.mark.parametrize("actions", [2, 3, 4])
def test_no_distributions_exceed_the_legacy_bound(actions: int) -> None:
    tenths = np.arange(11) / 10
    grid = [
        point
        for point in itertools.product(tenths, repeat=actions)
        if abs(sum(point) - 1) < 1e-9
    ]
    points = np.array(grid)
    found = divergence.legacy(points[:, None], points[None])
    assert found.max() == pytest.approx(divergence.legacy_bound(actions))
