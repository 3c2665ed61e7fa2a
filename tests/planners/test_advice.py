"""Planners that listen to the learner: what they take from it, and what they do not."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from planning import act

from curriculum.contract import ContractError, check_planner
from curriculum.envs._base.native import NativeRows
from curriculum.envs._base.spec import spec_of
from curriculum.envs.cartpole import CartPole
from curriculum.envs.gridworld import Gridworld
from curriculum.envs.gym import Gym
from curriculum.envs.pendulum import Pendulum
from curriculum.planners._search.rollouts import returns_to_go
from curriculum.planners._search.tree import Trees, ucb1
from curriculum.planners.mcts import MCTS
from curriculum.planners.mppi import MPPI
from curriculum.planners.noisy import Noisy
from curriculum.planners.shooting import Shooting
from curriculum.types import Advisor, Planner, stream

SEARCHES = [
    (MCTS(simulations=6, rollouts=2, horizon=4, trust="auto"), CartPole()),
    (MCTS(simulations=6, rollouts=2, horizon=4, trust=1.0), Gridworld()),
    (Shooting(horizon=4, trust="auto"), CartPole()),
    (Shooting(horizon=4, trust=0.5, undecided="keep"), Gridworld()),
    (MPPI(samples=4, horizon=4, iterations=2, trust="auto"), Pendulum()),
    (MPPI(samples=4, horizon=4, trust=1.0), Pendulum()),
]
NAMES = ["mcts", "mcts-full", "shooting", "shooting-keep", "mppi", "mppi-full"]


@dataclass
class Oracle(Advisor):
    """Says what it is told to say."""

    value: Any = 0.0  # a number, or a function of observations
    action: Any = 0.0
    trust: np.ndarray = field(default_factory=lambda: np.ones(1))
    is_ready: bool = True
    has_values: bool = True
    discount: float = 0.9
    reward_shift: float = 0.0
    asked: int = 0

    def values(self, obs: np.ndarray, seed: np.ndarray) -> np.ndarray:
        self.asked += len(obs)
        if callable(self.value):
            return np.asarray(self.value(obs), float)
        return np.full(len(obs), self.value)

    def propose(self, obs: np.ndarray, seed: np.ndarray, count: int) -> np.ndarray:
        self.asked += len(obs)
        action = np.asarray(self.action)
        return np.broadcast_to(action, (len(obs), count, *action.shape)).copy()


def ready(planner: Any, world: Any, each: int = 4) -> tuple[Any, NativeRows]:
    rows = NativeRows(world, [stream(0, "environment")], each)
    rows.reset()
    return planner.setup(rows, spec_of(world), (0,)), rows


def actions(planner: Any, world: Any, advisor: Advisor | None = None) -> np.ndarray:
    """What it does in three steps of four rows, [3, 4 (, A)]."""
    actor, rows = ready(planner, world)
    if advisor:
        actor.listen(advisor)
    taken = []
    for _ in range(3):
        taken.append(act(actor, rows.obs, np.arange(4)))
        rows.step(taken[-1])
    return np.stack(taken)


@pytest.mark.parametrize(("planner", "world"), SEARCHES, ids=NAMES)
def test_listening_keeps_the_contract(planner: Any, world: Any):
    check_planner(planner, world, seeds=(3, 1, 4), steps=12)


@pytest.mark.parametrize(("planner", "world"), SEARCHES, ids=NAMES)
def test_without_advice_a_search_is_as_before(planner: Any, world: Any):
    plain = actions(replace(planner, trust=0.0), world)
    np.testing.assert_array_equal(actions(planner, world), plain)
    silent = Oracle(is_ready=False)
    np.testing.assert_array_equal(actions(planner, world, silent), plain)
    assert silent.asked == 0


@pytest.mark.parametrize("trust", [0.0, "auto"])
def test_a_trust_of_zero_looks_no_value_up(trust: Any):
    oracle = Oracle(value=np.nan, trust=np.zeros(1))
    planner = MPPI(samples=4, horizon=4, trust=trust, proposals=0)
    assert np.isfinite(actions(planner, Pendulum(), oracle)).all()
    assert oracle.asked == 0


def test_the_value_at_the_horizon_decides_where_rewards_do_not():
    # the sine of the angle after one step: only the learner knows that it counts
    def swing(obs: np.ndarray) -> np.ndarray:
        return 1e3 * obs[:, 2]

    planner = MPPI(samples=64, horizon=2, trust=1.0, proposals=0, noise=1.0)
    right = actions(planner, Pendulum(), Oracle(value=swing))
    left = actions(planner, Pendulum(), Oracle(value=lambda obs: -swing(obs)))
    assert (right > 0.5).all()
    assert (left < -0.5).all()


def test_rewards_and_values_add_up_as_the_learner_counts_them():
    reward = np.array([[1.0, 2.0, 4.0]])
    found = returns_to_go(reward, 0.5, np.array([8.0]))
    # 1 + 2/2 + 4/4 + 8/8, 2 + 4/2 + 8/4, 4 + 8/2
    assert found.tolist() == [[4.0, 6.0, 8.0]]


def test_rewards_are_shifted_only_as_long_as_an_episode_lasts():
    actor, _ = ready(Shooting(horizon=5, trust=1.0), CartPole(), each=1)
    actor.listen(Oracle(value=10.0, discount=1.0, reward_shift=-1.0))
    copies = actor.copies(np.array([0]), 2)
    outcome = copies.play(np.zeros((1, 2, 5), np.int64))
    assert not outcome.ended.any()
    ended = outcome._replace(ended=np.array([[False, True]]), length=np.array([[5, 3]]))
    ended.reward[0, 1, 3:] = 0
    returns = actor.advice.to_go(np.array([0]), np.ones(1), ended)[..., 0]
    assert returns.tolist() == [[10.0, 0.0]]  # 5 times 1 - 1, and the value if alive


def test_shooting_follows_a_policy_that_is_better_than_its_plans():
    # a pole that falls at once unless somebody balances it
    def balance(obs: np.ndarray) -> np.ndarray:
        return (obs[:, 2] + obs[:, 3] > 0).astype(int)

    class Balancer(Oracle):
        def propose(self, obs, seed, count):
            return np.repeat(balance(obs)[:, None], count, 1)

    actor, rows = ready(Shooting(horizon=150, plans=1, trust=1.0), CartPole())
    actor.listen(Balancer(has_values=False))
    taken = act(actor, rows.obs, np.arange(4))
    assert taken.tolist() == balance(rows.obs).tolist()


def test_a_plan_that_is_worse_than_the_search_is_not_followed():
    plain = actions(Shooting(horizon=30, plans=30), CartPole())
    clumsy = Oracle(action=1, has_values=False)
    with_clumsy = actions(Shooting(horizon=30, plans=30, trust=1.0), CartPole(), clumsy)
    np.testing.assert_array_equal(with_clumsy, plain)


def test_auto_is_refused_where_nothing_can_be_predicted():
    actor, _ = ready(MPPI(samples=4, horizon=4, trust="auto"), Pendulum())
    with pytest.raises(ValueError, match="give a number up to 1"):
        actor.listen(Oracle(has_values=False))


def test_where_copies_show_nothing_the_first_action_is_proposed():
    world = Gym(id="CliffWalking-v1")
    rows = world.rows([stream(0, "environment")], 1)
    rows.reset()
    actor = Shooting(horizon=3, trust=1.0).setup(rows, spec_of(world), (0,))
    oracle = Oracle(action=1)
    actor.listen(oracle)
    act(actor, rows.obs, np.array([0]))
    assert oracle.asked == 1  # for proposals; no value is looked up
    rows.close()


def test_mcts_tries_first_what_the_policy_proposes():
    planner = MCTS(simulations=1, rollouts=1, horizon=2, trust="auto")
    oracle = Oracle(action=2, trust=np.full(1, 0.01))
    assert (actions(planner, Gridworld(), oracle) == 2).all()


# most ties of so short a search are ended by whoever comes first
SHORT = (MCTS(simulations=4, rollouts=1, horizon=2), Gridworld())


@pytest.mark.parametrize(
    ("planner", "world"), [*SEARCHES, SHORT], ids=[*NAMES, "mcts-short"]
)
def test_a_search_is_what_it_is_alone_until_values_are_trusted(
    planner: Any, world: Any
):
    planner = replace(planner, trust="auto")
    alone = actions(replace(planner, trust=0.0), world)
    advised = Oracle(action=_other(alone[0, 0]), trust=np.zeros(1))
    np.testing.assert_array_equal(actions(planner, world, advised), alone)


def _other(action: np.ndarray) -> np.ndarray:
    """Another action than this one."""
    return (action == 0).astype(int) if action.ndim == 0 else -action


@pytest.mark.parametrize(("planner", "world"), SEARCHES, ids=NAMES)
def test_a_seed_that_is_not_trusted_lives_as_alone_beside_one_that_is(
    planner: Any, world: Any
):
    planner = replace(planner, trust="auto")
    zero = np.zeros(world.action_space.shape, int)
    advisor = Oracle(value=5.0, action=zero, trust=np.array([0.0, 1.0]))
    alone, beside = (_of_two_seeds(planner, world, who) for who in (None, advisor))
    assert advisor.asked
    np.testing.assert_array_equal(beside[:, :2], alone[:, :2])


def _of_two_seeds(planner: Any, world: Any, advisor: Advisor | None) -> np.ndarray:
    """What it does in four steps of two rows of each of two seeds, [4, 4 (, A)]."""
    seeds = (0, 1)
    rows = NativeRows(world, [stream(seed, "environment") for seed in seeds], 2)
    rows.reset()
    actor = planner.setup(rows, spec_of(world), seeds)
    if advisor:
        actor.listen(advisor)
    taken = []
    for _ in range(4):
        taken.append(act(actor, rows.obs, np.arange(4)))
        rows.step(taken[-1])
    return np.stack(taken)


def test_mcts_explores_more_what_a_trusted_policy_proposes():
    trees = Trees(np.zeros((1, 10, 3)))
    trees.lowest[:] = 0
    trees.highest[:] = 1
    trees.children_visits[:, Trees.ROOT] = 4.0
    row = np.zeros(1, np.int64)
    prior = np.array([[0.5, 0.5, 2.0]])
    # values are equal; the bonus of exploration counts by the prior, at the root alone
    chosen = ucb1(trees, row, row, exploration=1.0, prior=prior)
    assert chosen.tolist() == [2]
    trees.children_visits[:, 1] = [4.0, 4.0, 5.0]
    below = ucb1(trees, row, row + 1, exploration=1.0, prior=prior)
    assert below.tolist() == [0]


def test_a_planner_in_another_one_listens_as_well():
    planner = Noisy(planner="mppi", settings=("trust=auto",), epsilon=0.0)
    assert planner.advised
    oracle = Oracle(action=np.zeros(1, np.float32))
    actions(planner, Pendulum(), oracle)
    assert oracle.asked > 0
    assert not Noisy(planner="mppi").advised


def test_simulated_observations_are_those_of_the_rows():
    world = Gym(id="Hopper-v5")
    rows = world.rows([stream(0, "environment")], 2)
    rows.reset()
    rows.step(np.array([[0.5, -0.5, 0.1], [-1.0, 1.0, 0.0]], np.float32))
    simulator: Any = rows.simulator()
    seen = simulator.observe(simulator.states(np.arange(2)))
    np.testing.assert_array_equal(seen, rows.obs)
    rows.close()


@pytest.mark.parametrize(
    ("trust", "message"),
    [(2, "trust must be between 0 and 1, got 2"), ("much", "trust must be a number")],
)
def test_trust_is_a_share_or_auto(trust: Any, message: str):
    with pytest.raises(ValueError, match=message):
        MPPI(trust=trust)


class Careless(Planner):
    """A planner from outside that asks its advisor in the wrong way."""

    advised: ClassVar[bool] = True

    def setup(self, rows: Any, spec: Any, seeds: Any) -> Self:
        return self

    def listen(self, advisor: Advisor) -> None:
        self.advisor = advisor

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if len(rows) and hasattr(self, "advisor"):
            self.advisor.values(obs, rows[::-1] // 3)
        return np.zeros(len(rows), np.int64)


class Needy(Careless):
    """It cannot do without."""

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.advisor.propose(obs, rows // 3, 1)
        return np.zeros(len(rows), np.int64)


@pytest.mark.parametrize(
    ("planner", "sentence"),
    [
        (Careless(), "values must be given seeds in ascending order"),
        (Needy(), "must act without an advisor, too"),
    ],
)
def test_a_planner_that_asks_wrongly_is_told(planner: Any, sentence: str):
    with pytest.raises(ContractError, match=sentence):
        check_planner(planner, "cartpole", seeds=(0, 1), steps=4)
