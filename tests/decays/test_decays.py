"""Every decay against values worked out by hand, and what all of them promise."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from curriculum.decays.performance import Performance
from curriculum.run import checkpoint
from curriculum.run.evaluation import Scale, score
from curriculum.setting import plugins
from curriculum.types import Decay

DECAYS = plugins.names("decay")
STEPS = (0, 1, 7, 500, 10_000, 123_456_789)


LISTENING = [name for name in DECAYS if plugins.find("decay", name).listens]


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("constant", {"value": 0.3}, {0: 0.3, 17: 0.3, 10**9: 0.3}),
        (
            "linear",
            {"initial": 1.0, "final": 0.2, "duration": 1_000},
            {0: 1, 250: 0.8, 500: 0.6, 1_000: 0.2, 9_999: 0.2},
        ),
        (
            "linear",
            {"initial": 0.0, "final": 1.0, "duration": 4},
            {0: 0, 1: 0.25, 3: 0.75, 5: 1},
        ),
        (
            "exponential",
            {"initial": 0.8, "half_life": 100, "cutoff": 0.03},
            {
                0: 0.8,
                50: 0.565685,
                100: 0.4,
                200: 0.2,
                400: 0.05,
                470: 0.030779,
                480: 0,
                10**6: 0,
            },
        ),
        (
            "exponential",
            {"initial": 1.0, "half_life": 10, "cutoff": 0.0},
            {30: 0.125, 100: 0.0009765625},
        ),
        (
            "exponential",
            {"initial": 0.5, "half_life": 10, "cutoff": 0.5},
            {0: 0.5, 1: 0},
        ),
        (
            "cosine",
            {"initial": 1.0, "final": 0.0, "duration": 900},
            {0: 1, 225: 0.853553, 300: 0.75, 450: 0.5, 600: 0.25, 900: 0, 1_350: 0},
        ),
        (
            "cosine",
            {"initial": 0.9, "final": 0.1, "duration": 900},
            {0: 0.9, 300: 0.7, 900: 0.1},
        ),
        (
            "staircase",
            {"initial": 1.0, "final": 0.0, "duration": 100, "stairs": 4},
            {0: 1, 24: 1, 25: 0.75, 49: 0.75, 50: 0.5, 99: 0.25, 100: 0, 1_000: 0},
        ),
        (
            "staircase",
            {"initial": 0.8, "final": 0.2, "duration": 10, "stairs": 3},
            {3: 0.8, 4: 0.6, 6: 0.6, 7: 0.4, 10: 0.2},
        ),
        ("performance", {"stages": 4}, {0: 1, 10: 1, 10**6: 1}),
    ],
)
def test_a_decay_gives_the_rates_worked_out_by_hand(name, settings, expected):
    decay = plugins.make("decay", name, **settings)
    found = [decay.rate(step) for step in expected]
    np.testing.assert_allclose(found, list(expected.values()), atol=1e-6)


@pytest.mark.parametrize("name", DECAYS)
def test_a_rate_is_a_share_also_before_the_first_evaluation(name):
    decay = plugins.make("decay", name)
    assert Decay in type(decay).__mro__
    for step in STEPS:
        rate = decay.rate(step)
        assert isinstance(rate, float)
        assert 0 <= rate <= 1


@pytest.mark.parametrize("name", LISTENING)
def test_a_decay_that_listens_has_a_rate_for_every_seed(name):
    decay = plugins.make("decay", name)
    for level in (-5.0, 0.0, 1.0, 2.0):
        decay.observe(np.full((3, 4), level))
        rate = decay.rate(0)
        assert rate.shape == (3,)
        assert np.issubdtype(rate.dtype, np.floating)
        assert ((rate >= 0) & (rate <= 1)).all()


@pytest.mark.parametrize("name", sorted(set(DECAYS) - set(LISTENING)))
def test_a_decay_that_does_not_listen_restores_no_seed(name):
    decay = plugins.make("decay", name)
    before = decay.rate(500)
    assert decay.observe(np.zeros((3, 4))).tolist() == [False] * 3
    assert decay.rate(500) == before
    assert decay.state() == {}


@pytest.mark.parametrize("name", DECAYS)
def test_a_decay_by_default_never_hands_back_without_an_evaluation(name):
    decay = plugins.make("decay", name)
    rates = np.array([decay.rate(step) for step in range(0, 30_000, 100)])
    assert (np.diff(rates) <= 0).all()


@pytest.mark.parametrize("value", [-1.0, float("nan")])
@pytest.mark.parametrize(
    ("name", "field"),
    [
        (name, field.name)
        for name in DECAYS
        for field in fields(plugins.find("decay", name))
        if not isinstance(field.default, bool)
    ],
)
def test_a_field_that_makes_no_sense_is_refused_in_one_sentence(name, field, value):
    with pytest.raises(ValueError, match=rf"^{field} must be [^\n.]*, got {value:g}$"):
        plugins.make("decay", name, **{field: value})


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("constant", "value", 1.01),
        ("linear", "initial", 1.5),
        ("linear", "duration", 0),
        ("cosine", "final", 2),
        ("cosine", "duration", 0),
        ("exponential", "half_life", 0),
        ("exponential", "cutoff", 1.1),
        ("staircase", "stairs", 0),
        ("staircase", "duration", 0),
        ("performance", "stages", 0),
        ("performance", "patience", 0),
    ],
)
def test_a_field_past_its_bound_is_refused(name, field, value):
    with pytest.raises(ValueError, match=rf"^{field} must be .*, got {value:g}$"):
        plugins.make("decay", name, **{field: value})


# decays that move on evaluations


def evaluations(count: int, seeds: int, episodes: int = 6) -> np.ndarray:
    """Noisy scores [count, P, episodes] of learners that rise and fall."""
    rng = np.random.default_rng(0)
    level = 0.5 + 0.5 * np.sin(np.arange(count)[:, None] / 6 + np.arange(seeds))
    return level[..., None] + 0.2 * rng.standard_normal((count, seeds, episodes))


def follow(decay: Any, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rates and rollback masks [count, P] after each evaluation of `scores` [count, P,
    episodes]."""
    rates, fallen = [], []
    for seen in scores:
        fallen.append(decay.observe(seen))
        rates.append(decay.rate(0))
    return np.array(rates), np.array(fallen)


def after(decay: Performance, *levels: float, episodes: int = 4) -> list[float]:
    """The rate of one seed after each evaluation in which all episodes score alike."""
    return follow(decay, np.array(levels)[:, None, None] * np.ones((1, 1, episodes)))[
        0
    ][:, 0].tolist()


@pytest.mark.parametrize("name", LISTENING)
def test_a_decay_that_moves_on_scores_resumes_exactly(name, tmp_path):
    scores = evaluations(60, 3)
    decay, fresh, untouched = (plugins.make("decay", name) for _ in range(3))
    untouched.load(
        checkpoint.read(
            checkpoint.write(tmp_path / "first", {"decay": untouched.state()})
        )["decay"]
    )
    follow(decay, scores[:25])
    follow(untouched, scores[:25])
    fresh.load(
        checkpoint.read(
            checkpoint.write(tmp_path / "second", {"decay": decay.state()})
        )["decay"]
    )
    expected = follow(decay, scores[25:])
    for resumed in (fresh, untouched):
        np.testing.assert_array_equal(follow(resumed, scores[25:]), expected)


@pytest.mark.parametrize("name", LISTENING)
def test_a_saved_state_stays_as_it_was_while_the_decay_goes_on(name):
    scores = evaluations(60, 2)
    decay, other = (plugins.make("decay", name) for _ in range(2))
    follow(decay, scores[:20])
    saved = decay.state()
    expected = follow(decay, scores[20:])
    other.load(saved)
    np.testing.assert_array_equal(follow(other, scores[20:]), expected)


@pytest.mark.parametrize("name", LISTENING)
def test_a_seed_alone_moves_as_among_others(name):
    scores = evaluations(60, 3)
    rates, fallen = follow(plugins.make("decay", name), scores)
    assert ((rates >= 0) & (rates <= 1)).all()
    assert fallen.dtype == bool
    for p in range(3):
        alone = follow(plugins.make("decay", name), scores[:, p : p + 1])
        np.testing.assert_array_equal(
            alone, (rates[:, p : p + 1], fallen[:, p : p + 1])
        )


def gated(**changes) -> Performance:
    """Four stages that ask for scores of 0.2, 0.4, 0.6 and 0.8; lost 0.1 below."""
    return Performance(
        **{"threshold": 0.8, "stages": 4, "z": 1.0, "hysteresis": 0.1, **changes}
    )


def test_performance_gives_up_one_stage_per_evaluation_that_shows_it():
    assert after(gated(), 0.1, 0.3, 0.3, 0.5, 1.0, 1.0, 1.0) == [
        1,
        0.75,
        0.75,
        0.5,
        0.25,
        0,
        0,
    ]


def test_performance_never_gives_up_more_than_a_score_has_earned():
    earned = {-0.5: 1, 0.1: 1, 0.3: 0.75, 0.5: 0.5, 0.7: 0.25, 0.9: 0}
    for level, rate in earned.items():
        assert after(gated(), *[level] * 10)[-1] == rate


@pytest.mark.parametrize("episodes", [1, 4])
def test_performance_trusts_scores_without_spread(episodes):
    assert after(gated(z=3.0), 0.21, episodes=episodes) == [0.75]


# Scores 0, 0.2, 0.4, 0.6: mean 0.3, squared deviations 0.09 + 0.01 + 0.01 + 0.09, over
# 3 and rooted 0.258, standard error 0.129. The first stage asks for 0.2, so z may be at
# most 0.1 / 0.129 = 0.775.
@pytest.mark.parametrize(
    ("z", "rate"), [(0.0, 0.75), (0.7, 0.75), (0.8, 1.0), (2.0, 1.0)]
)
def test_performance_does_not_move_on_a_noisy_mean_whose_lower_bound_falls_short(
    z, rate
):
    decay = gated(z=z)
    decay.observe(np.array([[0.0, 0.2, 0.4, 0.6]]))
    assert decay.rate(0) == [rate]


def test_performance_steps_back_only_below_the_hysteresis():
    at_three = [0.9, 0.9, 0.9]  # holds the stage that asks for 0.6, lost below 0.5
    assert after(gated(), *at_three, 0.55, 0.51, 0.49) == [
        0.75,
        0.5,
        0.25,
        0.25,
        0.25,
        0.5,
    ]
    assert after(gated(hysteresis=0.0), *at_three, 0.59)[-1] == 0.5
    assert after(gated(hysteresis=0.3), *at_three, 0.31, 0.29)[-2:] == [0.25, 0.5]


def test_performance_steps_back_to_the_planner_and_no_further():
    assert after(gated(), 0.9, 0.9, -1, -1, -1, -1, 0.3) == [
        0.75,
        0.5,
        0.75,
        1,
        1,
        1,
        0.75,
    ]


def test_performance_steps_back_only_when_the_upper_bound_shows_it():
    # mean 0.05, standard error 0.129: the upper bound 0.179 is above 0.1, and for z =
    # 0.3 it is 0.089
    for z, rate in ((1.0, 0.75), (0.3, 1.0)):
        decay = gated(z=z)
        decay.observe(np.full((1, 4), 0.3))
        decay.observe(np.array([[-0.25, -0.05, 0.15, 0.35]]))
        assert decay.rate(0) == [rate]


def test_performance_waits_for_patience_evaluations_in_a_row_both_ways():
    up = after(gated(patience=3), 0.9, 0.9, 0.9, 0.9, 0.9, 0.9)
    assert up == [1, 1, 0.75, 0.75, 0.75, 0.5]  # the count starts anew after a move
    # and after a bad one
    assert after(gated(patience=3), 0.9, 0.9, 0.1, 0.9, 0.9, 0.9) == [
        1,
        1,
        1,
        1,
        1,
        0.75,
    ]
    assert after(gated(patience=2), 0.9, 0.9, 0.05, 0.15, 0.05, 0.05) == [
        1,
        0.75,
        0.75,
        0.75,
        0.75,
        1,
    ]
    # opposite votes do not add up
    assert after(gated(patience=2), 0.3, 0.3, 0.9, 0.05, 0.9, 0.05)[-1] == 0.75


def test_performance_keeps_a_stage_for_every_seed():
    scores = np.array([[0.9, 0.9, 0.0], [0.9, 0.0, 0.0], [0.9, 0.5, 0.3]])[
        ..., None
    ] * np.ones(4)
    rates, fallen = follow(gated(), scores)
    np.testing.assert_array_equal(
        rates, [[0.75, 0.75, 1], [0.5, 1, 1], [0.25, 0.75, 0.75]]
    )
    # restored once, then given time
    np.testing.assert_array_equal(fallen, [[0, 0, 0], [0, 1, 0], [0, 0, 0]])


def test_performance_asks_the_same_of_negative_returns():
    level = np.array([0.25, 0.5, 0.125, 0.75, 0.75, -0.5, 1.0])[
        :, None, None
    ] + np.array([-0.125, 0, 0.125])
    between = follow(gated(), level)
    for floor, ceiling in ((0, 1), (-100, -20), (-3, 5)):
        reward = floor + level * (ceiling - floor)
        np.testing.assert_array_equal(
            follow(gated(), score(reward, Scale(floor, ceiling))), between
        )


def test_performance_moves_on_scores_alone_whatever_the_step():
    decay = gated()
    decay.observe(np.full((2, 4), 0.3))
    for step in STEPS:
        np.testing.assert_array_equal(decay.rate(step), [0.75, 0.75])


def test_performance_brings_the_best_weights_back_only_on_a_significant_fall():
    # scores 0.2, 0.4, 0.6, 0.8: mean 0.5, standard error 0.129, so the best lower bound
    # is 0.371
    risen, below, within_bound = (
        np.array([[0.2, 0.4, 0.6, 0.8]]),
        np.full((1, 4), 0.37),
        np.full((1, 4), 0.372),
    )
    wide = risen - 0.25  # mean 0.25, upper bound 0.379: perhaps no worse
    for scores, fallen in (
        ([risen], [False]),  # the first is the best
        ([risen, within_bound], [False, False]),
        ([risen, wide], [False, False]),
        ([risen, below], [False, True]),
        # restored weights set the bar anew
        ([risen, below, below, below], [False, True, False, False]),
        ([risen, below, risen, below], [False, True, False, True]),
        # upper bound 0.629
        ([risen, np.full((1, 4), 0.6), risen], [False, False, False]),
        ([risen, np.full((1, 4), 0.7), risen], [False, False, True]),
    ):
        assert follow(gated(), np.array(scores))[1][:, 0].tolist() == fallen


def test_performance_without_rollback_still_steps_back():
    scores = np.array([0.9, 0.9, 0.0, 0.0])[:, None, None] * np.ones((1, 1, 4))
    rates, fallen = follow(gated(rollback=False), scores)
    assert not fallen.any()
    assert fallen.dtype == bool
    assert rates[:, 0].tolist() == [0.75, 0.5, 0.75, 1]


def test_performance_never_gives_a_better_learner_more_planning():
    levels = np.linspace(-0.5, 1.2, 35)
    rates, _ = follow(gated(), np.broadcast_to(levels[:, None], (12, 35, 4)))
    assert (np.diff(rates[-1]) <= 0).all()
    assert (rates[-1, 0], rates[-1, -1]) == (1, 0)
