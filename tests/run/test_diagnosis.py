"""What `diagnose` measures, by hand: in a world of two states, of learners that say the
same everywhere."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from data_sets import data_set, episode

from curriculum.data import states
from curriculum.envs._base.spec import spec_of
from curriculum.envs.gridworld import Gridworld
from curriculum.learners.bc import BC
from curriculum.learners.bcq import BCQ
from curriculum.learners.dqn import DQN
from curriculum.learners.iql import IQL
from curriculum.learners.td3bc import TD3BC
from curriculum.learning.learner import Learner
from curriculum.planners.constant import Constant
from curriculum.run import diagnosis, reading
from curriculum.run.rollouts import Rollouts, roll_out
from curriculum.setting import plugins
from curriculum.types import Spec

SPEC = Spec((1,), "float32", np.zeros(1), np.ones(1), actions=2)
BOX = SPEC._replace(actions=0, action_size=2)
ACTIONS = [0, 0, 1, 0]
REWARDS = [0.0, 0.0, 0.0, 1.0]


@pytest.fixture
def yard(tmp_path: Path) -> diagnosis.Yardstick:
    """State 0 three times, with actions 0, 1, 0, and state 1 once, with action 0; the
    episode ends after a reward of 1."""
    obs = np.array([[0.0], [1], [0], [0], [1]], np.float32)
    data = data_set(tmp_path / "data", [episode(obs, ACTIONS, REWARDS)], spec=SPEC)
    return diagnosis.yardstick(states.choose(data, 9, seed=0), SPEC, neighbours=2)


def constant(learner: Learner, spec: Spec = SPEC, **outputs: list[float]) -> Learner:
    """A learner of one seed whose networks say the same everywhere."""
    learner.setup(spec, (0,))
    for name, values in outputs.items():
        *_, bias = learner.nets[name].weights.blocks
        for block in learner.nets[name].weights.blocks:
            block.fill_(0)
        bias.copy_(torch.tensor(values).expand_as(bias))
    learner.target_networks.update(1.0)
    return learner


class Opened(NamedTuple):
    reading: reading.Reading
    values: dict[str, np.ndarray]


def measured(learner: Learner, yard: diagnosis.Yardstick) -> Opened:
    found = reading.read(learner, yard.states)
    returns = yard.states.returns(learner.discount, learner.reward_shift)
    factor = learner.normalizer.reward_factor.numpy()
    values = diagnosis._of_actions(found, yard)
    values |= diagnosis._of_support(diagnosis._support(found.chosen, yard), yard)
    values |= diagnosis._of_values(found, returns, factor)
    return Opened(found, {name: value[0] for name, value in values.items()})


def test_a_constant_policy_has_the_entropies_of_its_probabilities(yard) -> None:
    third = math.log(1 / 3)
    learner = constant(BC(hidden=(4,)), policy=[math.log(2 / 3), third])
    found, values = measured(learner, yard)
    assert found.policy == reading.ACTOR
    assert found.probs is not None
    np.testing.assert_allclose(found.probs, np.full((1, 4, 2), [2 / 3, 1 / 3]))
    # actions 0, 0, 1, 0
    assert values["cross_entropy"] == pytest.approx(-(3 * math.log(2 / 3) + third) / 4)
    assert values["agreement"] == 0.75
    # shares 3/4 and 1/4 against 2/3 and 1/3
    assert values["marginal_tv"] == pytest.approx(1 / 12)
    # (3 + 1/2) / 5 and (1 + 1/2) / 5 against (8/3 + 1/2) / 5 and (4/3 + 1/2) / 5
    kl = 0.7 * math.log(0.7 / (19 / 30)) + 0.3 * math.log(0.3 / (11 / 30))
    assert values["marginal_kl"] == pytest.approx(kl, abs=1e-6)
    # state 0 three times: the data do 2/3, 1/3 there, as the learner does
    assert values["state_tv"] == pytest.approx(0, abs=1e-6)
    assert values["state_kl"] == pytest.approx(0, abs=1e-6)
    assert values["legacy_kl_bound"] == pytest.approx((math.e - 1) / (math.e + 1))


def test_a_learner_without_values_has_no_rows_about_them(yard) -> None:
    _, values = measured(constant(BC(hidden=(4,))), yard)
    assert not [name for name in values if name.startswith(("q", "value", "data_"))]


def test_the_softmax_of_a_critic_stands_for_its_policy(yard) -> None:
    learner = constant(DQN(hidden=(4,), discount=0.5), q=[0.0, math.log(3)])
    found, values = measured(learner, yard)
    assert found.policy == reading.SOFTMAX
    gap = math.log(4) - math.log(3) / 4  # log(1 + 3) minus the mean of Q(s, a_data)
    assert values["logsumexp_gap"] == pytest.approx(gap)
    assert values["cross_entropy"] == pytest.approx(gap)
    assert values["q_max"] == values["q_policy"] == pytest.approx(math.log(3))
    assert values["q_data"] == pytest.approx(math.log(3) / 4)
    # returns 1/8, 1/4, 1/2, 1
    assert values["data_return"] == pytest.approx(15 / 32)
    assert values["known_returns"] == 1
    assert values["q_over"] == pytest.approx(math.log(3) / 4 - 15 / 32)
    # targets 0.5 log 3, but 1 at the end, against Q of 0, 0, log 3, 0
    errors = 3 * 0.5 * math.log(3) + 1
    assert values["td_error"] == pytest.approx(errors / 4)


def test_values_are_in_rewards_of_the_world(yard) -> None:
    learner = IQL(hidden=(4,), discount=0.5, reward_scale=10, reward_shift=-1)
    constant(learner, q=[5.0, 5.0], value=[5.0])
    values = measured(learner, yard).values
    assert values["q_data"] == values["value"] == pytest.approx(0.5)
    assert values["q_max"] == values["q_policy"] == pytest.approx(0.5)
    # of scaled rewards: -10 + 5 / 2 three times and 0 at the end, minus 5
    assert values["td_error"] == pytest.approx((3 * 12.5 + 5) / 4 / 10)
    # minus 15/8, 7/4, 3/2 and 1 for the steps
    assert values["data_return"] == pytest.approx(15 / 32 - 49 / 32)
    assert values["value_over"] == pytest.approx(0.5 - 15 / 32 + 49 / 32)


def test_a_learner_that_chooses_by_itself_has_no_probabilities(yard) -> None:
    learner = constant(BCQ(hidden=(4,)), q=[0.0, 1.0], imitator=[0.0, 0.0])
    found, values = measured(learner, yard)
    assert found.policy == reading.GREEDY
    assert values.keys().isdisjoint({"cross_entropy", "state_kl"})
    # it does 1 in state 0, the data do it in one of three visits
    assert values["state_tv"] == pytest.approx(2 / 3)


def test_support_counts_the_neighbours_that_did_the_same(yard) -> None:
    # of the other two visits of state 0, action 1 was done in 1, 0 and 1; the state
    # nearest to 1 is any visit of 0
    values = measured(constant(BC(hidden=(4,)), policy=[0.0, 1.0]), yard).values
    own = diagnosis.own_support(yard)
    assert own.tolist()[0] == own.tolist()[3] == 1  # one more 0, one 1
    assert own.tolist()[2] == 0  # nobody else did 1
    nearby = np.array(ACTIONS)[yard.neighbours.steps]
    assert values["support"] == pytest.approx((nearby == 1).sum(1).mean())
    assert values["unseen"] == pytest.approx((nearby != 1).all(1).mean())


def test_box_actions_have_errors_densities_and_distances(tmp_path: Path) -> None:
    obs = np.array([[0.0], [0], [1], [1], [1]], np.float32)
    action = np.array([[0, 0], [0, 1], [0.5, 0], [0.5, 0]], np.float32)
    data = data_set(tmp_path / "data", [episode(obs, action)], spec=BOX)
    yard = diagnosis.yardstick(states.choose(data, 9, seed=0), BOX, neighbours=1)
    learner = constant(BC(hidden=(4,)), BOX, policy=[0.0, 0.0, 0.0, 0.0])
    values = measured(learner, yard).values
    # squares of the actions: 0, 1, 1/4, 1/4, each over two numbers
    assert values["cloning_error"] == pytest.approx(1.5 / 8)
    # two standard normal numbers
    density = -math.log(2 * math.pi) - 1.5 / 8
    assert values["log_density"] == pytest.approx(density)
    # nearest neighbours did (0, 1), (0, 0), (1/2, 0), (1/2, 0)
    distances = [math.sqrt(1 / 2), 0, math.sqrt(1 / 8), math.sqrt(1 / 8)]
    assert values["support_distance"] == pytest.approx(np.mean(distances))
    own = [math.sqrt(1 / 2), math.sqrt(1 / 2), 0, 0]
    assert values["support_distance_of_data"] == pytest.approx(np.mean(own))
    assert values["unseen"] == values["unseen_of_data"] == 0  # none is farther off
    assert values.keys().isdisjoint({"agreement", "cross_entropy", "legacy_kl"})


def test_a_deterministic_policy_has_no_density(tmp_path: Path) -> None:
    obs = np.zeros((3, 1), np.float32)
    data = data_set(tmp_path / "data", [episode(obs, np.zeros((2, 2)))], spec=BOX)
    yard = diagnosis.yardstick(states.choose(data, 9, seed=0), BOX, neighbours=1)
    values = measured(constant(TD3BC(hidden=(4,)), BOX, q=[3.0]), yard).values
    assert "log_density" not in values
    assert values["q_policy"] == pytest.approx(3)
    assert "q_max" not in values


def test_over_estimation_of_own_episodes_is_value_minus_return() -> None:
    played = Rollouts(
        returns=np.array([[1.0, 3.0]]),
        value=np.array([[2.0, 5.0]]),
        is_cut=np.array([[False, True]]),
    )
    values = diagnosis._of_rollouts(played, SPEC)
    found = {name: value[0] for name, value in values.items()}
    assert found == {
        "rollout_value": 3.5,
        "rollout_return": 2.0,
        "rollout_over": 1.5,
        "cut_rollouts": 0.5,
    }


@pytest.mark.parametrize(("action", "agreement"), [(0, 1.0), (1, 0.0)])
def test_own_episodes_are_valued_and_judged(action: int, agreement: float) -> None:
    world = Gridworld(max_steps=5)
    spec = spec_of(world)
    learner = DQN(hidden=(4,), discount=0.5, reward_shift=1)
    constant(learner, spec, q=[2.0] + [1.0] * (spec.actions - 1))
    played = roll_out(learner, world, spec, 3, Constant(action=(action,)))
    # five times -0.1 for a step that leads nowhere, shifted by 1
    np.testing.assert_allclose(played.returns, [[0.9 * (2 - 2**-4)] * 3], rtol=1e-6)
    assert played.value.tolist() == [[2.0] * 3]
    assert played.is_cut.all()  # a 32nd of the weight was left
    assert played.agreement is not None
    assert played.agreement.tolist() == [agreement]


@pytest.mark.parametrize("spec", [SPEC, BOX], ids=["discrete", "box"])
@pytest.mark.parametrize("name", plugins.names("learner"))
def test_every_learner_is_read(tmp_path: Path, name: str, spec: Spec) -> None:
    learner = plugins.make("learner", name, hidden=(4,))
    if ("discrete" if spec.actions else "box") not in learner.kinds:
        return
    learner.setup(spec, (0, 1))
    obs = np.array([[0.0], [1], [0], [0]], np.float32)
    action = [0, 1, 0] if spec.actions else np.zeros((3, 2))
    data = data_set(tmp_path / "data", [episode(obs, action)], spec=spec)
    noise = str(learner.head.noise.state())
    found = reading.read(learner, states.choose(data, 9, seed=0))
    assert str(learner.head.noise.state()) == noise
    for column in found[1:]:
        if column is not None:
            assert column.shape[:2] == (2, 3)
            assert np.isfinite(column).all()
    assert (found.q_data is None) == ("q" not in learner.nets)
    assert (found.value is None) == ("value" not in learner.nets)
