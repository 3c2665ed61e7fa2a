"""How learners explore: random actions or Boltzmann's, and how both fall."""

from typing import Any

import numpy as np
import pytest
import torch

from curriculum.decays.exponential import Exponential
from curriculum.decays.linear import Linear
from curriculum.learners.awac import AWAC
from curriculum.learners.bcq import BCQ
from curriculum.learners.dqn import DQN
from curriculum.learners.sac import SAC
from curriculum.learning.learner import Learner
from curriculum.run.loop import begin
from curriculum.run.run import Run
from curriculum.setting.config import Config
from curriculum.starts.random import Random
from curriculum.types import Spec

torch.set_num_threads(1)

SPEC = Spec((1,), "float32", np.zeros(1), np.ones(1), actions=3)
BOX = Spec((1,), "float32", np.zeros(1), np.ones(1), actions=0, action_size=1)
N = 40_000  # draws


class Fixed(DQN):
    """Says 0, ln 2 and ln 5 of its actions, at every observation."""

    def _scores(self, obs: torch.Tensor) -> torch.Tensor:
        scores = torch.tensor([1.0, 2.0, 5.0]).log()
        return scores.expand(*obs.shape[:2], 3)


def shares(learner: Learner) -> np.ndarray:
    """Shares of the actions of every seed, [P, 3]."""
    action = learner.act(np.zeros((len(learner.seeds), N, 1), np.float32), explore=True)
    return np.stack([np.bincount(own, minlength=3) / N for own in action])


def test_boltzmann_draws_in_proportion_to_exp_of_the_values():
    learner = Fixed(selection="boltzmann", exploration=1.0).setup(SPEC, (0, 1))
    # within four standard errors
    assert shares(learner) == pytest.approx(
        np.tile([1 / 8, 2 / 8, 5 / 8], (2, 1)), abs=0.01
    )


def test_the_temperature_of_each_seed_is_its_own():
    learner = Fixed(selection="boltzmann", exploration=2.0, exploration_floor=0.0)
    learner.setup(SPEC, (0, 1))
    learner.schedule_exploration(np.array([0.0, 1.0]))
    roots = np.sqrt([1, 2, 5])
    expected = np.stack([[0, 0, 1], roots / roots.sum()])
    assert shares(learner) == pytest.approx(expected, abs=0.01)


def test_at_temperature_one_an_actor_draws_from_its_policy():
    learner = AWAC(hidden=(8,), selection="boltzmann", exploration=1.0)
    learner.setup(SPEC, (0,))
    obs = np.zeros((1, 1, 1), np.float32)
    policy = learner.infer(lambda inputs: learner.policy_at(inputs).probs, obs)
    assert shares(learner)[0] == pytest.approx(policy[0, 0], abs=0.01)


def test_a_seed_explores_alone_as_among_others():
    alone = Fixed(selection="boltzmann", exploration=1.0).setup(SPEC, (1,))
    among = Fixed(selection="boltzmann", exploration=1.0).setup(SPEC, (0, 1))
    obs = np.zeros((2, 9, 1), np.float32)
    drawn = among.act(obs, explore=True)
    np.testing.assert_array_equal(alone.act(obs[:1], explore=True)[0], drawn[1])
    assert (drawn[0] != drawn[1]).any()


@pytest.mark.parametrize(
    ("learner", "spec", "reason"),
    [
        (SAC(selection="boltzmann"), SPEC, "draws them from its policy anyway"),
        (BCQ(selection="boltzmann"), SPEC, "leaves out those unlike the data"),
        (AWAC(selection="boltzmann"), BOX, "this world's are box"),
    ],
)
def test_boltzmann_is_refused_where_actions_have_no_scores(learner, spec, reason):
    with pytest.raises(ValueError, match=reason):
        learner.setup(spec, (0,))


# --- schedules ---


def tiny(**changes: Any) -> Config:
    defaults: dict[str, Any] = {
        "learner": DQN(
            hidden=(8,), batch_size=16, exploration=0.8, exploration_floor=0.2
        ),
        "start": Random(size=64),
        "planner": "random",
        "steps": 400,
        "eval_every": 400,
        "eval_episodes": 1,
        "eval_mixed": False,
        "exploration_decay": Linear(duration=80),
    }
    return Config(**(defaults | changes))


def rates(run: Run, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        run.take_step()
        found.append(float(run.learner.exploration_now[0]))
    return found


def test_exploration_falls_to_its_floor_and_goes_on_there_when_resumed():
    run = Run(tiny())
    list(begin(run))
    # steps of eight rows, at steps 0, 8, 16, ... of 80: 0.2 + 0.6 (1 - step / 80)
    assert rates(run, 3) == pytest.approx([0.8, 0.74, 0.68])
    resumed = Run(tiny())
    resumed.load(run.state())
    assert resumed.learner.exploration_now[0] == pytest.approx(0.68)
    assert rates(resumed, 9)[-2:] == pytest.approx([0.2, 0.2])


def test_any_decay_lowers_exploration():
    run = Run(tiny(exploration_decay=Exponential(half_life=16)))
    list(begin(run))
    assert rates(run, 3)[-1] == pytest.approx(0.2 + 0.6 / 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exploration_decay": "performance"}, "moves on evaluations"),
        ({"learner": SAC(hidden=(8,))}, "SAC explores by its own policy"),
        ({"exploration_decay": "planning-rate"}, "no exploration-decay"),
    ],
)
def test_schedules_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Run(tiny(**changes))


def test_a_floor_above_the_start_is_refused():
    with pytest.raises(ValueError, match="exploration_floor must be between"):
        DQN(exploration=0.1, exploration_floor=0.5)
