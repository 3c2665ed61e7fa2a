"""How far a planner trusts the learner's values: as well as they predict returns."""

from typing import Any

import numpy as np
import pytest

from curriculum.run.forecasts import KEPT, LEAST, Forecasts, window_steps
from curriculum.types import Spec

SPEC = Spec((1,), "float32", np.zeros(1), np.ones(1), actions=2)
DISCOUNT = 0.9


def truth(obs: np.ndarray) -> np.ndarray:
    """Rewards of 1 from place 0 to 19 on the way to the end at 20, doubled in every
    other episode, which the observation tells by its half."""
    place = np.floor(obs[..., 0])
    unit = np.where(obs[..., 0] % 1 > 0.25, 2.0, 1.0)
    return unit * (1 - DISCOUNT ** (20 - place)) / (1 - DISCOUNT)


def watched(shift: float = 0.0, episodes: int = 30, seeds: int = 1) -> Forecasts:
    """What has seen episodes of 20 steps in two rows of each seed."""
    forecasts = Forecasts(SPEC, (seeds, 2), DISCOUNT, shift, limit=0)
    for episode in range(episodes):
        for time in range(20):
            half = 0.5 * np.array([episode % 2, 1 - episode % 2])
            obs = np.broadcast_to((time + half)[:, None], (seeds, 2, 1))
            reward = np.broadcast_to(np.where(half > 0, 2.0, 1.0), (seeds, 2))
            over = np.full((seeds, 2), time == 19)
            forecasts.add(obs, reward, over, ~over & False, obs + 1)
    return forecasts


def test_true_values_are_trusted_in_full():
    assert watched().judge(truth).skill == pytest.approx(1)
    assert watched().judge(truth).trust.tolist() == [1]


def test_a_shift_of_rewards_belongs_to_the_values():
    shifted = watched(shift=-1.0)
    steps = (1 - DISCOUNT ** (20 - np.arange(20))) / (1 - DISCOUNT)

    def values(obs: np.ndarray) -> np.ndarray:
        return truth(obs) - steps[np.minimum(obs[..., 0], 19).astype(int)]

    assert shifted.judge(values).skill == pytest.approx(1)


def test_a_constant_error_is_corrected():
    found = watched().judge(lambda obs: truth(obs) + 20)
    assert found.trust.tolist() == [1]
    assert found.correction == pytest.approx(-20)


@pytest.mark.parametrize(
    "values",
    [
        lambda obs: 0 * truth(obs),
        lambda obs: 0 * truth(obs) + 12.0,  # about the mean
        lambda obs: -truth(obs),
        lambda obs: 10 * truth(obs),
        lambda obs: 0 * truth(obs) + np.nan,
        lambda obs: 1e300 * truth(obs),
        lambda obs: np.random.default_rng(0).standard_normal(obs.shape[:2]),
    ],
    ids=["zero", "mean", "reversed", "large", "nan", "huge", "noise"],
)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_values_that_know_nothing_are_not_trusted(values: Any):
    assert watched().judge(values).trust.tolist() == [0]


def test_trust_grows_with_skill():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((1, KEPT))
    found = []
    for error in (0.5, 3.0, 5.0, 7.0, 20.0):

        def values(obs: np.ndarray, error: float = error) -> np.ndarray:
            return truth(obs) + error * noise

        found.append(watched().judge(values).trust[0])
    assert found == sorted(found, reverse=True)
    assert found[0] == 1
    assert any(0 < trust < 1 for trust in found)
    assert found[-1] == 0


def test_few_windows_and_equal_returns_bring_no_trust():
    early = watched(episodes=5)
    assert early.count[0] < LEAST
    assert early.judge(truth).trust.tolist() == [0]
    flat = Forecasts(SPEC, (1, 1), DISCOUNT, 0.0, limit=0)
    for _ in range(1_000):
        no = np.zeros((1, 1), bool)
        flat.add(np.zeros((1, 1, 1)), np.ones((1, 1)), no, no, np.zeros((1, 1, 1)))
    assert flat.count[0] >= LEAST
    assert flat.judge(lambda obs: np.full(obs.shape[:2], 10.0)).trust.tolist() == [0]


def test_windows_that_a_time_limit_cuts_are_left_out():
    forecasts = Forecasts(SPEC, (1, 1), DISCOUNT, 0.0, limit=0)
    for time in range(100):
        cut = np.array([[time % 5 == 4]])
        obs = np.zeros((1, 1, 1))
        forecasts.add(obs, np.ones((1, 1)), cut & False, cut, obs)
    assert forecasts.count[0] == 0


@pytest.mark.parametrize(
    ("discount", "limit", "steps"),
    [(0.99, 0, 16), (0.9, 0, 10), (1.0, 0, 16), (1.0, 20, 10), (0.0, 1, 1)],
)
def test_windows_are_as_long_as_the_discount_sees(discount, limit, steps):
    assert window_steps(discount, limit) == steps


def test_windows_are_the_same_after_a_pause_and_among_other_seeds():
    whole = watched(episodes=21)
    other = Forecasts(SPEC, (1, 2), DISCOUNT, 0.0, limit=0)
    other.load(watched(episodes=21).state())
    pair = watched(episodes=21, seeds=2)
    for name, array in whole.state().items():
        np.testing.assert_array_equal(array, other.state()[name])
        np.testing.assert_array_equal(array[0], pair.state()[name][1])


def test_a_constant_value_is_not_trusted_where_a_goal_ends_windows():
    """A constant tells a window with its end, and the reward for it, from the others,
    which are as long as possible and earn next to nothing."""
    forecasts = Forecasts(SPEC, (1, 1), 0.99, 0.0, limit=0)
    obs = np.zeros((1, 1, 1))
    for _ in range(60):
        for time in range(40):
            over = np.full((1, 1), time == 39)
            reward = np.where(over, 10.0, -0.1)
            forecasts.add(obs, reward, over, over & False, obs)
    found = forecasts.judge(lambda obs: np.full(obs.shape[:2], 5.0))
    assert found.skill == pytest.approx(0, abs=1e-6)
    assert found.trust.tolist() == [0]
