"""The end of a run: random play, the planner and the policies on the same episodes."""

from typing import Any

import numpy as np
import pytest

from curriculum.envs._base.spec import spec_of
from curriculum.envs.gridworld import Gridworld
from curriculum.envs.gym import Gym
from curriculum.envs.pointmass import Pointmass
from curriculum.planners.constant import Constant
from curriculum.planners.noisy import Noisy
from curriculum.planners.random import Random
from curriculum.run.evaluation import Scale, play_planner, score, summary
from curriculum.run.loop import train
from curriculum.setting.config import Config
from curriculum.starts.expert import Expert
from curriculum.types import Planner

FINALS = range(1_000_000, 1_000_006)


def final(planner: Any, **changed: Any) -> dict[str, np.ndarray]:
    """The last record of a short run on the gridworld."""
    settings: dict[str, Any] = {
        "learner": "bc",
        "planner": planner,
        "start": Expert(size=64),
        "steps": 64,
        "seeds": (0, 1),
        "eval_episodes": 6,
        "eval_mixed": False,
        "capacity": 1_000,
    }
    *_, last = train(Config(**settings | changed))
    assert last.kind == "final"
    return last.values


def returns(planner: Planner, episodes: range) -> np.ndarray:
    world = Gridworld()
    return play_planner(planner, world, spec_of(world), episodes).reward


def test_random_play_and_the_planner_play_the_episodes_of_the_final_policies():
    values = final(Noisy())
    assert (
        values["final/planner_reward"].tolist() == [returns(Noisy(), FINALS).mean()] * 2
    )
    assert (
        values["final/random_reward"].tolist() == [returns(Random(), FINALS).mean()] * 2
    )
    floor = values["final/random_reward"]
    ceiling = values["final/planner_reward"]
    np.testing.assert_allclose(
        values["final/last_score"],
        (values["final/last_mean_reward"] - floor) / (ceiling - floor),
    )


def test_where_the_way_is_known_a_constant_action_is_a_baseline():
    world = Pointmass()
    values = final("shortest_path", env=world)
    played = play_planner(Constant(), world, spec_of(world), FINALS)
    assert values["final/constant_reward"].tolist() == [played.reward.mean()] * 2
    assert values["final/constant_success_rate"].tolist() == [played.success.mean()] * 2


def test_a_slow_planner_plays_the_first_of_these_episodes():
    values = final(Noisy(), planner_episodes=2)
    assert values["final/planner_episodes"].tolist() == [2, 2]
    assert values["final/episodes"].tolist() == [6, 6]
    assert values["final/planner_reward"][0] == returns(Noisy(), FINALS[:2]).mean()
    # random play is cheap, and is reported on all episodes
    assert values["final/random_reward"][0] == returns(Random(), FINALS).mean()


def test_scores_average_the_episodes_that_the_planner_played():
    episodes = play_planner(Random(), Gridworld(), spec_of(Gridworld()), range(3))
    episodes = episodes._replace(reward=np.array([[1.0, 3.0, 100.0]]))
    episodes = episodes._replace(success=np.ones((1, 3)), length=np.ones((1, 3)))
    figures = summary(episodes, Scale(floor=0, ceiling=4, episodes=2))
    assert figures["score"].tolist() == [0.5]
    assert figures["mean_reward"][0] == pytest.approx(104 / 3)


def test_a_planner_that_equals_random_play_gives_no_scores():
    assert np.isnan(score(np.array([1.0, 2.0]), Scale(floor=1, ceiling=1))).all()
    assert np.isnan(final("random")["final/last_score"]).all()


def test_policies_are_scored_as_d4rl_does_where_the_world_says_how():
    pole = Gym(id="CartPole-v1", d4rl=(0, 50))
    values = final(Random(), env=pole, eval_episodes=2)
    for name in ("last", "best"):
        reward = values[f"final/{name}_mean_reward"]
        expected = pytest.approx(2 * reward)  # 100 at a return of 50
        assert values[f"final/{name}_d4rl_score"] == expected
