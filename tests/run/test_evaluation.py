"""Episodes on shared evaluation seeds: each row is played by its own actor to its own
end."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest

from curriculum.envs._base.spec import spec_of
from curriculum.envs.botevade import BotEvade
from curriculum.envs.cartpole import CartPole
from curriculum.envs.gridworld import Gridworld
from curriculum.envs.pendulum import Pendulum
from curriculum.gates.episode import Episode
from curriculum.gates.step import Step
from curriculum.planners.balance import Balance
from curriculum.planners.constant import Constant
from curriculum.planners.swing_up import SwingUp
from curriculum.run import evaluation, maps
from curriculum.types import Policy, Spec

EPISODES = range(6)
CARTPOLE, PENDULUM = CartPole(max_steps=60), Pendulum(max_steps=60)
CARTPOLE_SPEC = Spec((4,), "float32", -np.ones(4), np.ones(4), 2)
PENDULUM_SPEC = Spec((3,), "float32", -np.ones(3), np.ones(3), 0, 1)


class Actor:
    """A learner without values."""

    seeds = (3, 4)
    discount = 0.9
    state_value = "value"
    critic = "q"
    nets: ClassVar[dict[str, Any]] = {}


class Pushing(Actor):
    """A cart-pole learner: the first seed always pushes left, the second where the pole
    leans."""

    def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
        assert obs.shape == (2, 6, 4)
        return np.stack([np.zeros(6, np.int64), (obs[1, :, 2] > 0).astype(np.int64)])


class Twisting(Actor):
    """A pendulum learner: the first seed never pushes, the second brakes with 0.2 of
    the speed."""

    def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
        assert obs.shape == (2, 6, 3)
        return np.stack(
            [np.zeros((6, 1), np.float32), np.clip(-0.2 * obs[1, :, 2:], -1, 1)]
        )


def alone(world: Any, policy, episode: int) -> tuple[float, int, bool, float]:
    """Return, length, success and discounted return of one episode of one row, its
    policy told the true state."""
    rows: Any = evaluation.evaluation_door(world, [episode]).rows
    rows.reset()
    rewards = []
    over = False
    while not over:
        step = rows.step(policy(rows.state))
        rewards.append(step.reward[0])
        over = bool(step.terminated[0] or step.truncated[0])
    discounted = 0.0
    for reward in reversed(rewards):
        discounted = reward + Actor.discount * discounted
    return sum(rewards), len(rewards), bool(step.success[0]), discounted


POLICIES = {
    CartPole: [
        lambda state: np.zeros(1, np.int64),
        lambda state: (state[:, 2] > 0).astype(np.int64),
    ],
    Pendulum: [
        lambda state: np.zeros((1, 1)),
        lambda state: np.clip(-0.2 * state[:, 1:], -1, 1),
    ],
}
every_kind = pytest.mark.parametrize(
    ("learner", "world", "spec", "planner"),
    [
        (Pushing(), CARTPOLE, CARTPOLE_SPEC, Balance()),
        (Twisting(), PENDULUM, PENDULUM_SPEC, SwingUp()),
    ],
    ids=["discrete", "box"],
)


@every_kind
def test_each_seed_plays_each_episode_as_it_would_alone(learner, world, spec, planner):
    played = evaluation.play_learner(learner, world, EPISODES)
    assert played.reward.shape == played.length.shape == played.success.shape == (2, 6)
    for p, policy in enumerate(POLICIES[type(world)]):
        expected = [alone(world, policy, episode) for episode in EPISODES]
        given = (played.reward, played.length, played.success, played.discounted)
        for figures, values in zip(given, zip(*expected, strict=True), strict=True):
            np.testing.assert_allclose(figures[p], values, rtol=1e-5)
    assert (played.length.min() < 60) == (world is CARTPOLE)  # the first falls over
    assert np.isnan(played.value).all()


@every_kind
@pytest.mark.parametrize("gate", [Step(), Episode()])
def test_mixed_play_runs_from_the_learner_alone_to_the_planner_alone(
    learner, world, spec, planner, gate
):
    rate = np.array([0.0, 1.0])
    played, use = evaluation.play_mixed(
        learner, planner, gate, rate, world, spec, EPISODES, step=0
    )
    learned = evaluation.play_learner(learner, world, EPISODES)
    planned = evaluation.play_planner(planner, world, spec, EPISODES)
    for name in ("reward", "length", "success"):
        figure = getattr(played, name)
        np.testing.assert_allclose(figure[0], getattr(learned, name)[0])
        np.testing.assert_allclose(figure[1], getattr(planned, name))
    assert use.calls.tolist() == [0, planned.length.sum()]


@every_kind
def test_a_mixture_lies_between_the_two(learner, world, spec, planner):
    played, use = evaluation.play_mixed(
        learner, planner, Step(), np.full(2, 0.5), world, spec, EPISODES, step=0
    )
    share = use.calls / played.length.sum(-1)
    np.testing.assert_allclose(share, 0.5, atol=0.1)
    planned = evaluation.play_planner(planner, world, spec, EPISODES).reward.mean()
    learned = evaluation.play_learner(learner, world, EPISODES).reward.mean(-1)
    assert learned[0] < played.reward[0].mean() <= planned


def test_maps_of_a_world_of_cells_with_box_actions_use_its_own_bounds():
    class Compass(Gridworld):
        """Goes down where its one number exceeds 5 of 10, else right."""

        @property
        def action_space(self):
            return gym.spaces.Box(0, 10, (1,), np.float32)

        def step(self, state, action, rng):
            assert action.shape == (len(state), 1)
            there = state.copy()
            there[:, 0] = np.minimum(there[:, 0] + (action[:, 0] > 5), 9)
            there[:, 1] = np.minimum(there[:, 1] + (action[:, 0] <= 5), 9)
            return there, np.zeros(len(state)), np.zeros(len(state), bool)

    class South(Policy):
        def value(self, obs):
            return np.ones((1, 400))

        def act(self, obs, explore=False):
            return np.full((1, 400, 1), 0.1, np.float32)  # 5.5 in the world's bounds

    drawn = maps.draw(South(), Compass(), seeds=1)
    np.testing.assert_array_equal(drawn.arrow[0, 0, 0], [1, 0])
    assert np.isnan(drawn.value[0, 2, 2])


def test_what_a_world_counts_is_counted_in_every_episode():
    world = BotEvade(max_steps=40)
    played = evaluation.play_planner(
        Constant(action=(0,)), world, spec_of(world), range(30)
    )
    captures = played.counts["captures"]
    assert 0 < captures.mean() < 40
    # every capture costs 1, and reaching the goal pays 1
    finished = played.reward + captures
    assert set(finished.tolist()) <= {0, 1}
    np.testing.assert_array_equal(played.success, (finished == 1) & (captures == 0))
    by_seed = played.reshape(2, 15)
    figures = evaluation.summary(by_seed, evaluation.Scale(0, 1))
    np.testing.assert_array_equal(figures["captures"], captures.reshape(2, 15).mean(-1))
