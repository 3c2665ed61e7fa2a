"""Planners that search: where greed is wrong they see ahead, and where the best is
known they come near it."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from planning import act

import curriculum.planners._search.rollouts
from curriculum.contract import check_planner
from curriculum.envs._base.native import Dynamics, NativeRows
from curriculum.envs._base.spec import spec_of
from curriculum.envs._base.streams import Streams
from curriculum.envs.cartpole import CartPole
from curriculum.envs.gridworld import Gridworld
from curriculum.envs.gym import Gym
from curriculum.envs.pendulum import Pendulum
from curriculum.planners._search.plans import Plans
from curriculum.planners._search.rollouts import Outcome, discounted_return, rollout
from curriculum.planners._search.tree import Trees, most_visited, ucb1
from curriculum.planners.mcts import MCTS
from curriculum.planners.mppi import MPPI
from curriculum.planners.shooting import Shooting
from curriculum.planners.shortest_path import ShortestPath
from curriculum.planners.swing_up import SwingUp
from curriculum.run.evaluation import play_planner
from curriculum.types import stream

SECOND = np.array([0, 1])  # one step later


@dataclass(kw_only=True)
class Sketch(Dynamics):
    """A world of two numbers, such as place and time, for one idea at a time; it begins
    at 0, 0."""

    max_steps: int = 20
    action_space: ClassVar[Any] = gym.spaces.Discrete(2)
    observation_space: ClassVar[gym.spaces.Box] = gym.spaces.Box(
        -np.inf, np.inf, (2,), np.float32
    )

    def begin(self, rng, rows):
        return np.zeros((rows, 2))

    def observe(self, state):
        return state.astype(np.float32)

    def success(self, state):
        return np.zeros(len(state), bool)

    def draw(self, state):
        return np.zeros((1, 1, 3), np.uint8)


class Patience(Sketch):
    """1 now and the end, or nothing now, and 3 in the next step for the same action
    again."""

    def step(self, state, action, rng):
        reward = np.where(
            action == 0, 1.0 * (state[:, 1] == 0), 3.0 * (state[:, 1] == 1)
        )
        return state + SECOND, reward, (action == 0) | (state[:, 1] == 1)


class Gamble(Sketch):
    """Action 0 brings 0.5 for sure, action 1 brings 1 with a chance of `luck`; either
    way it may be over."""

    luck: float = 0.25

    def step(self, state, action, rng):
        drawn = rng.random((len(state), 2))
        return (
            state + SECOND,
            np.where(action == 0, 0.5, drawn[:, 0] < self.luck),
            drawn[:, 1] < 0.3,
        )


class Lucky(Gamble):
    luck = 0.75


class Toll(Sketch):
    """Every step costs 1, and the third one is the last."""

    def step(self, state, action, rng):
        return state + SECOND, np.full(len(state), -1.0), state[:, 1] == 2


class Still(Sketch):
    """Nothing ever happens."""

    def step(self, state, action, rng):
        return state + SECOND, np.zeros(len(state)), np.zeros(len(state), bool)


class Slide(Sketch):
    """A mass on ice, place and speed, to be brought to rest at 0 with little force."""

    action_space = gym.spaces.Box(-2, 2, (1,), np.float32)

    def step(self, state, action, rng):
        place, speed = state.T
        after = np.stack([place + 0.2 * speed, speed + 0.2 * action[:, 0]], -1)
        return (
            after,
            -(after**2).sum(-1) - 0.3 * action[:, 0] ** 2,
            np.zeros(len(state), bool),
        )


class Cliff(Slide):
    """1 for every step alive and as much again for going fast, but above a speed of 0.5
    it is over."""

    def step(self, state, action, rng):
        after = state + action * [0, 0.1]
        return after, 1 + after[:, 1], after[:, 1] > 0.5


def ready(
    planner: Any, world: Any, seeds: tuple[int, ...] = (0,), each: int = 1
) -> tuple[Any, NativeRows]:
    rows = NativeRows(world, [stream(seed, "environment") for seed in seeds], each)
    rows.reset()
    return planner.setup(rows, spec_of(world), seeds), rows


def first(planner: Any, world: Any, each: int = 20) -> np.ndarray:
    """What it does first in many rows."""
    actor, rows = ready(planner, world, each=each)
    return act(actor, rows.obs, np.arange(each))


# --- values ---


@pytest.mark.parametrize(
    ("world", "horizon", "expected"),
    [
        (Toll(), 5, -1.75),  # to the end: -1 - 0.5 - 0.25
        (Toll(), 2, -np.inf),  # more may be lost later
        (Still(), 2, 0.0),
    ],
)
@pytest.mark.parametrize(
    "planner",
    [
        partial(MCTS, simulations=8, rollouts=2),
        partial(Shooting, plans=8),
    ],
)
def test_plans_that_go_on_losing_beyond_the_horizon_tell_no_value(
    planner, world, horizon, expected
):
    actor, rows = ready(planner(horizon=horizon, discount=0.5), world, each=3)
    found = actor.act(rows.obs, np.arange(3))
    np.testing.assert_allclose(found.value, [expected] * 3)


def test_mppi_tells_no_value_where_any_variant_loses_more_later():
    for world, is_known in ((Slide(), False), (Cliff(), True)):
        actor, rows = ready(MPPI(samples=8, horizon=3, noise=0.1), world, each=3)
        value = actor.act(rows.obs, np.arange(3)).value
        assert (np.isfinite(value) == is_known).all()


# --- tree search ---


# 3 * discount against 1
@pytest.mark.parametrize(("discount", "best"), [(0.99, 1), (0.5, 1), (0.2, 0)])
def test_mcts_waits_for_the_larger_reward_if_it_is_worth_it(discount, best):
    assert (
        first(
            MCTS(simulations=128, rollouts=1, horizon=4, discount=discount), Patience()
        ).tolist()
        == [best] * 20
    )


def test_mcts_does_not_see_beyond_its_horizon():
    assert (
        first(MCTS(simulations=32, rollouts=1, horizon=1), Patience()).tolist()
        == [0] * 20
    )


@pytest.mark.parametrize(("world", "best"), [(Gamble, 0), (Lucky, 1)])
def test_mcts_averages_over_chance(world, best):
    action = first(MCTS(simulations=64, rollouts=8, horizon=1), world())
    assert action.tolist() == [best] * 20


def test_mcts_breaks_ties_at_random_and_differently_in_every_row():
    action = first(MCTS(simulations=4, rollouts=1, horizon=3), Still(), each=400)
    assert abs(action.mean() - 0.5) < 4 * 0.5 / 400**0.5


def test_mcts_reaches_the_goal_nearly_as_fast_as_can_be():
    spec, episodes = spec_of(Gridworld()), range(10)
    best = play_planner(ShortestPath(), Gridworld(), spec, episodes)
    found = play_planner(MCTS(simulations=32, horizon=40), Gridworld(), spec, episodes)
    assert found.success.all()
    assert found.length.mean() < best.length.mean() + 2


@pytest.mark.slow
def test_mcts_balances_a_pole_for_whole_episodes():
    played = play_planner(MCTS(), CartPole(), spec_of(CartPole()), range(5))
    assert played.reward.tolist() == [500] * 5


def test_a_tree_tries_everything_once_and_then_what_paid():
    trees = Trees(np.full((1, 9, 2), 0.5))
    paid = {0: 1.0, 1: 2.0}  # for the first action
    tried = []
    for _ in range(8):
        path = trees.simulate(1, partial(ucb1, exploration=0))
        tried.append(int(path.actions[0, 0]))
        trees.backward(path, np.array([[paid[tried[-1]]]]))
    assert tried == [0, 1, 1, 1, 1, 1, 1, 1]
    assert most_visited(trees).tolist() == [1]


def test_exploration_is_worked_out_by_hand():
    # rewards 0 and 1 are the range, so after 5 and 20 tries urges are 0 + c sqrt(ln 25
    # / 5) = 0.8024 c and 1 + c sqrt(ln 25 / 20) = 1 + 0.4012 c: even at c = 2.4925
    for exploration, chosen in ((2.48, 1), (2.51, 0)):
        trees = Trees(np.full((1, 2, 2), 0.5))
        trees.children_visits[0, 0] = (5, 20)
        trees.children_returns[0, 0] = (5 * 7.0, 20 * 9.0)
        trees.lowest[0] = 7
        trees.highest[0] = 9
        path = trees.simulate(1, partial(ucb1, exploration=exploration))
        assert path.actions.tolist() == [[chosen]]


@pytest.mark.parametrize(
    ("visits", "means", "chosen"),
    [((10, 2), (1, 5), 0), ((2, 10), (5, 1), 1), ((6, 6), (1, 5), 1)],
)
def test_the_action_tried_most_is_taken_and_of_equals_the_better(visits, means, chosen):
    trees = Trees(np.full((1, 2, 2), 0.5))
    trees.children_visits[0, 0] = visits
    trees.children_returns[0, 0] = np.multiply(visits, means)
    trees.lowest[0] = 1
    trees.highest[0] = 5
    assert most_visited(trees).tolist() == [chosen]


def test_every_simulation_adds_one_node_below_the_one_it_left():
    trees = Trees(np.random.default_rng(0).random((3, 31, 2)))
    for _ in range(30):
        path = trees.simulate(50, partial(ucb1, exploration=1.0))
        trees.backward(path, np.zeros(path.nodes.shape))
    assert (trees.children_visits.sum((1, 2)) >= 30).all()
    assert trees.children_visits[:, 0].sum(-1).tolist() == [30] * 3
    for child in trees.children_index:
        assert sorted(child[child > 0]) == list(range(1, 31))


def test_copies_earn_what_the_simulator_says():
    rows = NativeRows(Gridworld(), [stream(0, "environment")], 40)
    rows.reset()
    actions = np.random.default_rng(0).integers(3, size=(40, 200))
    expected, ended, _ = rows.simulator().rollout(
        rows.state, actions, np.random.default_rng(0)
    )
    assert 0 < ended.sum() < 40
    owner = np.zeros(40, np.int64)
    found, over, *_ = rollout(
        rows.simulator(), rows.state, actions, owner, [np.random.default_rng(0)]
    )
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(over, ended)


def test_rewards_are_discounted_by_the_steps_before_them():
    reward = np.array([[[1.0, 1.0, 1.0]], [[0.0, 4.0, 8.0]]])
    assert discounted_return(reward, 0.5).tolist() == [[1.75], [4.0]]


# --- plans ---


@pytest.mark.parametrize(("hold_last", "end"), [(False, 0), (True, 3)])
def test_a_kept_plan_is_shifted_and_its_end_filled_or_held(hold_last, end):
    _, rows = ready(MCTS(), Still(), each=5)
    plans = Plans(rows, np.zeros((5, 3), np.int64))
    everyone = np.arange(5)
    rows.time[:] = 4
    plans.keep(everyone, np.tile([1, 2, 3], (5, 1)))
    # at once, one step later, long after, and in two new episodes
    rows.time[:] = [4, 5, 9, 3, 0]
    expected = [[1, 2, 3], [2, 3, end], [end, end, end], [0, 0, 0], [0, 0, 0]]
    assert plans.left(everyone, hold_last).tolist() == expected
    # kept as they were
    assert plans.actions.tolist() == [[1, 2, 3]] * 5
    assert plans.left(np.array([1, 4]), hold_last).tolist() == [expected[1], [0, 0, 0]]


# --- shooting ---


# 3 * discount against 1
@pytest.mark.parametrize(("discount", "best"), [(0.99, 1), (0.2, 0)])
def test_shooting_takes_the_plan_with_the_largest_discounted_return(discount, best):
    planner = Shooting(plans=64, horizon=4, discount=discount)
    assert first(planner, Patience()).tolist() == [best] * 20


def test_shooting_begins_the_best_plan_that_it_tried_and_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
):
    rng = np.random.default_rng(0)
    tried: list[np.ndarray] = []
    paid: list[np.ndarray] = []

    def pay(simulator, state, actions, *_):
        tried.append(actions)
        paid.append(rng.integers(4, size=actions.shape).astype(float))
        return Outcome(paid[-1], np.zeros(len(actions), bool))

    monkeypatch.setattr(curriculum.planners._search.rollouts, "rollout", pay)
    actor, rows = ready(Shooting(plans=3, horizon=4, discount=0.5), Still(), each=30)
    action = act(actor, rows.obs, np.arange(30))
    plans = []
    for row in range(30):
        worth = []
        for plan in range(4):
            a, b, c, d = paid[0][4 * row + plan]
            worth.append(a + b / 2 + c / 4 + d / 8)
        plans.append(tried[0][4 * row + int(np.argmax(worth))].tolist())
    assert action.tolist() == [plan[0] for plan in plans]
    assert len({tuple(plan) for plan in plans}) > 3
    rows.time[:] = 1
    act(actor, rows.obs, np.arange(30))
    left = tried[1].reshape(30, 4, 4)[:, 0].tolist()
    assert left == [[*plan[1:], plan[-1]] for plan in plans]


class Choice(Sketch):
    """In the fifth step action 1 or 2 brings 1; nothing else does anything."""

    action_space = gym.spaces.Discrete(3)

    def step(self, state, action, rng):
        reward = 1.0 * (state[:, 1] == 4) * (action > 0)
        return state + SECOND, reward, np.zeros(len(state), bool)


def test_shooting_changes_its_action_only_where_that_pays():
    planner = Shooting(plans=40, horizon=3, undecided="keep")
    actor, rows = ready(planner, Choice(), each=10)
    taken = []
    for _ in range(8):
        action = act(actor, rows.obs, np.arange(10))
        taken.append(action)
        rows.step(action)
    before, seen, at_stake, after = np.split(np.stack(taken), [2, 4, 5])
    assert not before.any()  # the reward is beyond the horizon
    assert (at_stake > 0).all()
    assert not after.any()
    assert (seen[0] > 0).all()  # as early as it is seen
    changes = np.diff(np.concatenate([before, seen, at_stake]), axis=0) != 0
    assert changes.sum(0).tolist() == [1] * 10


@pytest.mark.parametrize(
    ("step", "last", "taken"), [(4, 2, 2), (4, 1, 1), (1, 2, 0), (5, 1, 0)]
)
def test_mcts_keeps_an_action_that_is_as_good_and_rests_when_all_are(step, last, taken):
    planner = MCTS(simulations=30, rollouts=1, horizon=1, undecided="keep")
    actor, rows = ready(planner, Choice(), each=10)
    rows.state[:, 1] = step
    rows.time[:] = step
    actor.taken.time[:] = step - 1
    actor.taken.actions[:] = last
    assert act(actor, rows.obs, np.arange(10)).tolist() == [taken] * 10


def test_without_keeping_actions_are_random_where_nothing_is_at_stake():
    action = first(Shooting(plans=3, horizon=3), Still(), each=40)
    assert not action.any()  # the plan that is kept begins with 0
    planner = Shooting(plans=40, horizon=3)
    actor, rows = ready(planner, Choice(), each=40)
    rows.state[:, 1] = 2
    assert {0, 1, 2} == set(act(actor, rows.obs, np.arange(40)).tolist())


def test_a_plan_that_is_worse_by_less_than_the_tolerance_is_as_good():
    for tolerance, kept in ((0.0, 1), (0.3, 0)):
        planner = Shooting(plans=64, horizon=4, undecided="keep", tolerance=tolerance)
        actor, rows = ready(planner, Slope(), each=10)
        assert act(actor, rows.obs, np.arange(10)).tolist() == [kept] * 10


class Slope(Sketch):
    """1 for action 0, and 1.2 for action 1; the rest is worth nothing."""

    def step(self, state, action, rng):
        reward = np.where(state[:, 1] == 0, 1 + 0.2 * action, 0)
        return state + SECOND, reward, np.zeros(len(state), bool)


# --- path integrals ---


def optimum(state: np.ndarray, horizon: int) -> float:
    """The first force of the best plan on the ice, as the least squares problem that it
    is."""
    carried = np.zeros((2, horizon))  # how the state depends on the forces
    left, right = [np.sqrt(0.3) * np.eye(horizon)], [np.zeros(horizon)]
    for t in range(horizon):
        push = np.zeros((2, horizon))
        push[1, t] = 0.2
        step = np.array([[1, 0.2], [0, 1]])
        state, carried = step @ state, step @ carried + push
        left.append(carried)
        right.append(-state)
    return np.linalg.lstsq(np.concatenate(left), np.concatenate(right), rcond=None)[0][
        0
    ]


@pytest.mark.parametrize("start", [(1.0, 0.0), (-0.5, 0.8), (0.3, -1.0)])
def test_mppi_finds_the_optimum_of_a_linear_quadratic_problem(start):
    planner = MPPI(
        samples=256,
        horizon=12,
        iterations=40,
        noise=0.2,
        temperature=0.05,
        smoothing=0,
        discount=1,
    )
    actor, rows = ready(planner, Slide(), each=4)
    rows.state[:] = start
    best = optimum(np.array(start), 12)
    assert abs(best) < 2
    np.testing.assert_allclose(
        2 * act(actor, rows.obs, np.arange(4))[:, 0], best, atol=0.1
    )


def test_mppi_swings_up_and_holds_about_as_well_as_the_rule_for_it():
    spec, episodes = spec_of(Pendulum()), range(6)
    rule = play_planner(SwingUp(), Pendulum(), spec, episodes)
    found = play_planner(
        MPPI(samples=32, horizon=20, noise=1, smoothing=0.8), Pendulum(), spec, episodes
    )
    assert found.success.all()
    assert found.reward.mean() > rule.reward.mean() - 25


def test_mppi_stays_alive_rather_than_take_the_most_at_once():
    actor, rows = ready(MPPI(horizon=10, iterations=5), Cliff(), each=8)
    for _ in range(10):
        assert not rows.step(act(actor, rows.obs, np.arange(8))).terminated.any()
    assert rows.state[:, 1].min() > 0.2  # and still as fast as is safe


def test_mppi_shifts_its_plan_by_the_steps_that_went_by():
    actor, rows = ready(MPPI(noise=0, horizon=5, samples=2), Slide(), each=5)
    actor.plans.actions[:, :, 0] = [0.1, 0.2, 0.3, 0.4, 0.5]
    actor.plans.time[:] = [3, 3, 3, 3, 3]
    # at once, two steps later, when nothing is left, and in new episodes
    rows.time[:] = [3, 5, 8, 2, 0]
    np.testing.assert_allclose(
        act(actor, rows.obs, np.arange(5))[:, 0], [0.1, 0.3, 0, 0, 0]
    )
    np.testing.assert_allclose(actor.plans.actions[1, :, 0], [0.3, 0.4, 0.5, 0, 0])
    rows.time[1] = 6
    np.testing.assert_allclose(act(actor, rows.obs[[1]], np.array([1]))[:, 0], 0.4)


def test_mppi_noise_has_the_spread_and_smoothness_asked_for(
    monkeypatch: pytest.MonkeyPatch,
):
    tried: list[np.ndarray] = []

    def nothing(simulator, state, actions, *_):
        tried.append(actions)
        return Outcome(np.zeros(actions.shape[:2]), np.zeros(len(actions), bool))

    monkeypatch.setattr(curriculum.planners._search.rollouts, "rollout", nothing)
    first(MPPI(samples=501, horizon=40, noise=0.1, smoothing=0.8), Slide(), each=2)
    noise = tried[0].reshape(2, 501, 40)
    assert not noise[:, 0].any()  # the plan itself
    # grows evenly from copy to copy: 0.8 to 1 of what was asked for
    loudest = noise[:, 400:]
    np.testing.assert_allclose(loudest.std((0, 1)), 0.09, atol=0.02)
    assert np.corrcoef(loudest[..., 1:].ravel(), loudest[..., :-1].ravel())[
        0, 1
    ] == pytest.approx(0.8, abs=0.05)
    assert noise[:, 225:275].std() == pytest.approx(0.05, rel=0.1)


def test_threads_change_nothing_of_what_mppi_does():
    pytest.importorskip("mujoco", reason="an optional package")

    def taken(threads: int) -> np.ndarray:
        world = Gym(id="Hopper-v5")
        rows = world.rows([stream(0, "environment")], 1)
        rows.reset()
        planner = MPPI(samples=6, horizon=20, noise=1.0, threads=threads)
        actor = planner.setup(rows, spec_of(world), (0,))
        actions = []
        for _ in range(3):
            actions.append(act(actor, rows.obs, np.arange(1)))
            rows.step(actions[-1])
        rows.close()
        return np.stack(actions)

    np.testing.assert_array_equal(taken(2), taken(1))


def test_mppi_weights_by_return_whatever_its_unit(monkeypatch: pytest.MonkeyPatch):
    actions = []
    for unit in (1, 1000):

        def paid(simulator, state, actions, *_, unit=unit):
            reward = unit * actions[..., 0] + unit
            return Outcome(reward, np.zeros(len(actions), bool))

        monkeypatch.setattr(curriculum.planners._search.rollouts, "rollout", paid)
        actions.append(first(MPPI(samples=8, horizon=1, temperature=0.5), Slide()))
    np.testing.assert_allclose(actions[0], actions[1], atol=1e-6)
    assert (actions[0] > 0).mean() > 0.9


@pytest.mark.parametrize(("beyond", "lives"), [(0, False), (5, True)])
def test_mppi_values_what_comes_after_the_horizon(
    monkeypatch: pytest.MonkeyPatch, beyond, lives
):
    def paid(simulator, state, actions, *_):
        ends = actions[:, 0, 0] > 0
        return Outcome(np.where(ends, 1.5, 1.0)[:, None], ends)

    monkeypatch.setattr(curriculum.planners._search.rollouts, "rollout", paid)
    action = first(MPPI(samples=16, horizon=1, beyond=beyond), Slide())
    assert ((action <= 0) == lives).all()


# --- both ---


@pytest.mark.parametrize(
    ("planner", "world"),
    [
        (MCTS(simulations=6, rollouts=3, horizon=5), Gamble()),
        (MCTS(simulations=6, rollouts=3, horizon=5), Gridworld()),
        (MCTS(simulations=6, horizon=5, undecided="keep", tolerance=0.1), Gridworld()),
        (Shooting(horizon=5, undecided="keep", tolerance=0.1), Gamble()),
        (MPPI(samples=6, horizon=5, iterations=2), Pendulum()),
    ],
    ids=["mcts-chance", "mcts", "mcts-keep", "shooting-keep", "mppi"],
)
def test_searching_keeps_the_contract(planner, world):
    check_planner(planner, world, seeds=(3, 1, 4))


def test_copies_of_one_seed_meet_the_same_chance_with_and_without_others():
    both = [np.random.default_rng(seed) for seed in (7, 8)]
    owner, actions = np.repeat([0, 1], 6), np.ones((12, 9), np.int64)
    simulator = NativeRows(Gamble(), both, 1).simulator()
    together, *_ = rollout(simulator, np.zeros((12, 2)), actions, owner, both)
    alone, *_ = rollout(
        simulator,
        np.zeros((6, 2)),
        actions[:6],
        owner[6:] * 0,
        [np.random.default_rng(8)],
    )
    np.testing.assert_array_equal(together[6:], alone)
    assert (
        Streams([np.random.default_rng(8)], 6).random((6, 2))[0, 0]
        == np.random.default_rng(8).random()
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MCTS(simulations=0), "simulations must be at least 1, got 0"),
        (lambda: MCTS(exploration=-1), "exploration must be at least 0, got -1"),
        (lambda: MCTS(discount=1.1), "discount must be between 0.01 and 1, got 1.1"),
        (lambda: MCTS(discount=0), "discount must be between 0.01 and 1, got 0"),
        (
            lambda: MCTS(undecided="no"),  # type: ignore[arg-type]
            "no undecided 'no'; there are: random, keep",
        ),
        (lambda: Shooting(tolerance=2), "tolerance must be between 0 and 1, got 2"),
        (lambda: MPPI(samples=0), "samples must be at least 1, got 0"),
        (lambda: MPPI(temperature=0), "temperature must be at least 1e-06, got 0"),
        (lambda: MPPI(threads=0), "threads must be between 1 and 256, got 0"),
        (
            lambda: ready(MPPI(threads=2), Pendulum()),
            "copies of Pendulum are stepped by one thread; leave out --planner.threads",
        ),
        (lambda: MPPI(smoothing=1), "smoothing must be between 0 and 0.999, got 1"),
        (
            lambda: ready(MCTS(), Pendulum()),
            r"mcts needs discrete actions, Pendulum has box actions; choose",
        ),
        (
            lambda: ready(MPPI(), Gridworld()),
            r"mppi needs box actions, Gridworld has discrete ones; choose",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
