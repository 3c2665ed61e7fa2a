"""Acting for few observations: what torch would choose, from the newest weights, and
for each seed as if it were alone."""

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum.learners.bc import BC
from curriculum.learners.dqn import DQN
from curriculum.learning.acting import SINGLE_THREADED
from curriculum.setting import plugins
from curriculum.types import Batch, Spec

torch.set_num_threads(1)

SEEDS = (4, 7, 9)
CASES = [
    (name, kind)
    for name in plugins.names("learner")
    for kind in plugins.find("learner", name).kinds
    if name != "bcq"  # chooses among proposals
]
every_learner = pytest.mark.parametrize(
    ("name", "kind"), CASES, ids=["-".join(case) for case in CASES]
)


def spec(kind: str = "discrete", bound: float = math.inf) -> Spec:
    """Observations [2, 2]; three discrete actions, or box actions of two numbers."""
    edge = np.full((2, 2), bound, np.float32)
    sizes = (3, 0) if kind == "discrete" else (0, 2)
    return Spec((2, 2), "float32", -edge, edge, *sizes)


def set_up(learner: Any, kind: str = "discrete", seeds: tuple[int, ...] = SEEDS) -> Any:
    learner.setup(spec(kind), seeds)
    learner.normalizer.fit([some_obs(7 * seed)[0] * (1 + seed) for seed in seeds])
    return learner


def some_obs(number: int = 0, seeds: int = 1, rows: int = 12) -> np.ndarray:
    """The same observations for every seed, some of them far out."""
    rng = np.random.default_rng(number)
    drawn = rng.normal(size=(1, rows, 2, 2)) * rng.choice([1, 50], (1, rows, 1, 1))
    return drawn.astype(np.float32).repeat(seeds, 0)


def some_batch(kind: str) -> Batch:
    rng = np.random.default_rng(5)
    shape = (len(SEEDS), 16)
    action: Any = rng.integers(3, size=shape)
    if kind == "box":
        action = rng.uniform(-1, 1, (*shape, 2)).astype(np.float32)
    obs, next_obs = rng.normal(size=(2, *shape, 2, 2)).astype(np.float32)
    reward, mc_return = rng.normal(size=(2, *shape)).astype(np.float32)
    discount = np.full(shape, 0.9, np.float32)
    columns = (obs, action, reward, discount, next_obs, mc_return)
    return Batch(*(torch.as_tensor(column) for column in columns))


def by_torch(learner: Any, obs: np.ndarray) -> np.ndarray:
    return learner.infer(learner.choose, obs)


def refuse(*_: Any) -> None:
    raise AssertionError("torch was asked")


def assert_acts_as_torch(learner: Any, obs: np.ndarray) -> None:
    wanted = by_torch(learner, obs)
    learner.infer = refuse
    try:
        action = learner.act(obs)
    finally:
        del learner.infer
    assert action.dtype == wanted.dtype
    np.testing.assert_allclose(action, wanted, rtol=0, atol=1e-6)


@every_learner
def test_few_observations_get_the_actions_of_torch_without_torch(name, kind):
    learner = set_up(plugins.make("learner", name, hidden=(32, 16)), kind)
    assert_acts_as_torch(learner, some_obs(seeds=3))


@pytest.mark.parametrize(("name", "kind"), [("iql", "discrete"), ("cql", "box")])
def test_a_policy_may_have_sizes_of_its_own(name, kind):
    learner = plugins.make("learner", name, hidden=(32, 16), actor_hidden=(8, 24, 40))
    learner = set_up(learner, kind)
    layers = [m for m in learner.export(0).modules() if isinstance(m, torch.nn.Linear)]
    assert [layer.out_features for layer in layers[:-1]] == [8, 24, 40]
    critic = learner.head.export(learner.nets["q"], 0)
    widths = [m.out_features for m in critic if isinstance(m, torch.nn.Linear)]
    assert widths[:-1] == [32, 16]
    assert_acts_as_torch(learner, some_obs(seeds=3))


@pytest.mark.parametrize("name", ["dqn", "cql", "bcq"])
def test_sizes_of_a_policy_are_refused_where_a_critic_acts(name):
    learner = plugins.make("learner", name, actor_hidden=(8,))
    with pytest.raises(ValueError, match="no policy network for discrete actions"):
        set_up(learner)


@pytest.mark.parametrize("quantiles", [1, 4])
@pytest.mark.parametrize("members", [1, 3])
def test_critics_act_by_the_mean_over_members_and_quantiles(members, quantiles):
    @dataclass(kw_only=True)
    class Critics(DQN):
        def build(self):
            return {"q": self.head.critic(members, quantiles)}

    assert_acts_as_torch(set_up(Critics(hidden=(16,))), some_obs(seeds=3))


def test_observations_are_left_alone_where_normalising_is_off():
    learner = set_up(BC(hidden=(16, 16), normalize_obs=False), "box")
    obs = some_obs(seeds=3)
    before = obs.copy()
    assert_acts_as_torch(learner, obs)
    assert_acts_as_torch(learner, obs.astype(np.float64))
    np.testing.assert_array_equal(obs, before)


def moved_by_update(learner: Any) -> None:
    learner.update(some_batch("box"))


def moved_by_load(learner: Any) -> None:
    other = set_up(BC(hidden=(16, 16)), "box", (1, 2, 3))
    learner.load(other.state())


def moved_by_restore(learner: Any) -> None:
    other = set_up(BC(hidden=(16, 16)), "box", (1, 2, 3))
    learner.restore(other.snapshot(), np.ones(3, bool))


@pytest.mark.parametrize("move", [moved_by_update, moved_by_load, moved_by_restore])
def test_actions_come_from_the_newest_weights(move):
    learner = set_up(BC(hidden=(16, 16), learning_rate=0.1), "box")
    obs = some_obs(seeds=3)
    before = learner.act(obs)
    move(learner)
    assert np.abs(learner.act(obs) - before).max() > 0.01
    assert_acts_as_torch(learner, obs)


def test_a_copy_acts_by_its_own_weights():
    learner = set_up(BC(hidden=(16, 16), learning_rate=0.1), "box")
    obs = some_obs(seeds=3)
    before = learner.act(obs)
    other = copy.deepcopy(learner)
    other.update(some_batch("box"))
    assert_acts_as_torch(other, obs)
    np.testing.assert_array_equal(learner.act(obs), before)


def test_observations_are_taken_in_blocks():
    learner = set_up(BC(hidden=(128, 128)), "box")
    assert_acts_as_torch(learner, some_obs(seeds=3, rows=50))
    assert_acts_as_torch(learner, some_obs(seeds=3, rows=64))


@pytest.mark.parametrize("rows", [1, 3, 8, 40])
@every_learner
def test_a_seed_acts_bit_for_bit_the_same_alone_and_among_others(name, kind, rows):
    obs = some_obs(seeds=3, rows=rows)

    def learner(*seeds: int) -> Any:
        return set_up(plugins.make("learner", name, hidden=(128, 128)), kind, seeds)

    together = learner(*SEEDS)
    among = together.act(obs)
    outputs = together.few_rows._outputs(obs)
    for index, seed in enumerate(SEEDS):
        alone = learner(seed)
        np.testing.assert_array_equal(alone.act(obs[:1])[0], among[index])
        np.testing.assert_array_equal(
            alone.few_rows._outputs(obs[:1])[0], outputs[index]
        )


def test_many_observations_are_left_to_torch():
    learner = set_up(BC(hidden=(512, 512)))
    most = SINGLE_THREADED // 512**2  # one row: too small for blocks
    learner.infer = refuse
    learner.act(some_obs(seeds=3, rows=most))
    with pytest.raises(AssertionError, match="torch was asked"):
        learner.act(some_obs(seeds=3, rows=most + 1))


@dataclass(kw_only=True)
class Chooses(BC):
    """Takes the opposite of what its policy says."""

    def choose(self, obs: Tensor) -> Tensor:
        return -super().choose(obs)


def test_a_learner_that_chooses_for_itself_acts_by_its_choice():
    learner = set_up(Chooses(hidden=(16, 16)), "box")
    plain = set_up(BC(hidden=(16, 16)), "box")
    obs = some_obs(seeds=3)
    np.testing.assert_allclose(learner.act(obs), -plain.act(obs), rtol=0, atol=1e-6)


@pytest.mark.parametrize("settings", [{"layer_norm": True}, {"encoder": "impala"}])
def test_networks_of_other_parts_are_left_to_torch(settings):
    learner = DQN(hidden=(16, 16), **settings)
    if "encoder" in settings:
        shape = (1, 16, 16)
        low = np.zeros(shape, np.uint8)
        pictures = Spec(shape, "uint8", low, low + 255, 3, frames=1)
        obs: np.ndarray = np.zeros((1, 2, *shape), np.uint8)
        learner.setup(pictures, (0,))
    else:
        learner.setup(spec(), (0,))
        obs = some_obs(rows=2)
    assert learner.few_rows is None
    np.testing.assert_array_equal(learner.act(obs), by_torch(learner, obs))


def test_lower_precision_is_left_to_torch():
    learner = BC(hidden=(16, 16)).setup(spec("box"), (0,), precision="bf16")
    assert learner.few_rows is None


def test_weights_that_are_not_finite_act_silently_as_in_torch(recwarn):
    learner = set_up(BC(hidden=(16, 16)), "box")
    learner.nets["policy"].weights.vector.fill_(math.inf)
    obs = some_obs(seeds=3)
    np.testing.assert_array_equal(learner.act(obs), by_torch(learner, obs))
    assert not recwarn.list
