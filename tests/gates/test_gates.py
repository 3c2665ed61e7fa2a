"""Every gate against masks worked out by hand, and what all of them promise."""

from typing import Any

import numpy as np
import pytest

from curriculum.gates.episode import Episode
from curriculum.gates.horizon import Horizon
from curriculum.gates.step import Step
from curriculum.run import checkpoint
from curriculum.setting import plugins
from curriculum.types import Gate, Moment, Policy

GATES = plugins.names("gate")


class SumOfObservation(Policy):
    """A learner that values a state by the sum of its observation."""

    def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
        return np.zeros(obs.shape[:2], np.int64)

    def value(self, obs: np.ndarray) -> np.ndarray:
        return obs.reshape(*obs.shape[:2], -1).sum(-1)

    def margin(self, obs: np.ndarray) -> np.ndarray:
        return self.value(obs)


def moment(rate: np.ndarray, age: np.ndarray, coin: np.ndarray) -> Moment:
    return Moment(rate, age, coin, np.zeros((*age.shape, 1)), SumOfObservation())


def play(
    gate: Any, rates: np.ndarray, times: np.ndarray, coins: np.ndarray
) -> np.ndarray:
    """Masks [T, P, E] for rates [T, P], times [T, P, E] and coins [T, P, E]."""
    return np.array(
        [
            gate.planner_acts(moment(*now))
            for now in zip(rates, times, coins, strict=True)
        ]
    )


def history(
    steps: int, seeds: int, rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rates that fall, episodes of all lengths from 1 to 12, fresh coins."""
    rng = np.random.default_rng(3)
    times = np.zeros((steps, seeds, rows), np.int64)
    for t in range(1, steps):
        times[t] = np.where(rng.random((seeds, rows)) < 0.2, 0, times[t - 1] + 1) % 12
    rates = np.linspace(1, 0, steps)[:, None] ** np.arange(1, seeds + 1)
    return rates, times, rng.random((steps, seeds, rows))


@pytest.mark.parametrize("name", GATES)
def test_a_gate_says_yes_or_no_for_every_row_of_every_seed(name):
    gate = plugins.make("gate", name)
    assert Gate in type(gate).__mro__
    masks = play(gate, *history(40, 3, 5))
    assert masks.shape == (40, 3, 5)
    assert masks.dtype == bool


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_rate_of_one_is_always_the_planner_and_of_zero_never(name, rate):
    _, times, coins = history(60, 2, 4)
    times += np.where(times, 1_000, 0)  # however long the episode
    coins[::2] = 0.0
    coins[1::2] = np.nextafter(1.0, 0.0)
    masks = play(plugins.make("gate", name), np.full((60, 2), rate), times, coins)
    assert (masks == bool(rate)).all()


@pytest.mark.parametrize("name", GATES)
def test_a_seed_alone_is_gated_as_among_others(name):
    rates, times, coins = history(80, 3, 2)
    together = play(plugins.make("gate", name), rates, times, coins)
    for p in range(3):
        one = slice(p, p + 1)
        alone = play(
            plugins.make("gate", name), rates[:, one], times[:, one], coins[:, one]
        )
        np.testing.assert_array_equal(together[:, one], alone)


@pytest.mark.parametrize("name", GATES)
def test_a_gate_resumes_exactly(name, tmp_path):
    first, rest = (
        [x[:37] for x in history(80, 2, 4)],
        [x[37:] for x in history(80, 2, 4)],
    )
    gate, fresh, untouched = (plugins.make("gate", name) for _ in range(3))
    untouched.load(
        checkpoint.read(
            checkpoint.write(tmp_path / "first", {"gate": untouched.state()})
        )["gate"]
    )
    play(gate, *first)
    play(untouched, *first)
    fresh.load(
        checkpoint.read(checkpoint.write(tmp_path / "second", {"gate": gate.state()}))[
            "gate"
        ]
    )
    expected = play(gate, *rest)
    for resumed in (fresh, untouched):
        np.testing.assert_array_equal(play(resumed, *rest), expected)


@pytest.mark.parametrize("gate", [Step, Episode])
@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_the_planners_share_is_the_rate(gate, rate):
    rng = np.random.default_rng(0)
    ages = np.zeros((1, 40_000), np.int64)
    mask = gate().planner_acts(moment(np.array([rate]), ages, rng.random(ages.shape)))
    # four standard errors of the widest binomial
    assert mask.mean() == pytest.approx(rate, abs=4 * 0.5 / 200)


def test_the_step_gate_follows_every_coin():
    rate, time = np.array([0.5, 0.2]), np.array([[0, 9, 3], [0, 1, 2]])
    coin = np.array([[0.1, 0.49, 0.5], [0.3, 0.19, 0.9]])
    mask = Step().planner_acts(moment(rate, time, coin))
    np.testing.assert_array_equal(mask, [[True, True, False], [False, True, False]])
    np.testing.assert_array_equal(
        Step().planner_acts(moment(rate, time, 1 - coin)),
        [[False, False, False], [False, False, True]],
    )


def test_the_episode_gate_keeps_its_choice_to_the_end_of_the_episode():
    times = np.array([[[0, 0]], [[1, 1]], [[2, 0]], [[3, 1]], [[0, 2]], [[1, 3]]])
    coins = np.array(
        [
            [[0.4, 0.6]],
            [[0.9, 0.1]],
            [[0.9, 0.1]],
            [[0.9, 0.9]],
            [[0.6, 0.9]],
            [[0.1, 0.9]],
        ]
    )
    masks = play(Episode(), np.full((6, 1), 0.5), times, coins)
    np.testing.assert_array_equal(
        masks[:, 0].T, [[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1]]
    )


def test_the_episode_gate_uses_the_rate_of_the_episodes_beginning():
    times, rates = (
        np.array([0, 1, 2, 0, 1]).reshape(5, 1, 1),
        np.array([[1.0], [0.0], [0.0], [0.0], [1.0]]),
    )
    masks = play(Episode(), rates, times, np.full((5, 1, 1), 0.5))
    assert masks.ravel().tolist() == [True, True, True, False, False]


def test_the_episode_gate_tosses_at_once_for_an_episode_it_did_not_see_begin():
    times, coins = (
        np.array([[[5, 7]], [[6, 8]]]),
        np.array([[[0.2, 0.8]], [[0.8, 0.2]]]),
    )
    masks = play(Episode(), np.full((2, 1), 0.5), times, coins)
    np.testing.assert_array_equal(masks[:, 0], [[True, False], [True, False]])


@pytest.mark.parametrize(
    ("rate", "planned"),
    # rounded to whole steps of 8
    [(0.0, 0), (0.05, 0), (0.25, 2), (0.5, 4), (0.7, 6), (0.99, 8)],
)
def test_the_horizon_gate_gives_the_planner_the_first_steps_and_the_learner_the_rest(
    rate, planned
):
    times = np.arange(30)[None]
    for coin in (0.0, 0.999):
        mask = Horizon(steps=8).planner_acts(
            moment(np.array([rate]), times, np.full((1, 30), coin))
        )
        assert mask[0].tolist() == [True] * planned + [False] * (30 - planned)


def test_the_horizon_gate_has_a_horizon_for_every_seed():
    mask = Horizon(steps=4).planner_acts(
        moment(
            np.array([0.5, 1.0, 0.25]),
            np.array([[1, 2], [3, 99], [0, 1]]),
            np.zeros((3, 2)),
        )
    )
    np.testing.assert_array_equal(mask, [[True, False], [True, True], [True, False]])


@pytest.mark.parametrize("steps", [0, -3, float("nan")])
def test_a_horizon_of_no_steps_is_refused(steps):
    with pytest.raises(ValueError, match=r"^steps must be at least 1, got (0|-3|nan)$"):
        Horizon(steps=steps)
