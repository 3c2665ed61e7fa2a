"""Modules of torch as networks: each seed draws its own, they train, resume, export."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from curriculum.learning import engine
from curriculum.learning.learner import Learner
from curriculum.learning.modules import ModuleNetwork
from curriculum.types import Batch, Spec

torch.set_num_threads(1)

SEEDS = (0, 3, 4)


class Attention(nn.Module):
    """Every observed number is a token; a parameter of its own that no layer resets."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.position = nn.Parameter(torch.randn(inputs, 8) * 0.1)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.last = nn.Linear(8, outputs)

    def forward(self, obs: Tensor) -> Tensor:
        tokens = obs.unsqueeze(-1) * self.position.exp() + self.position
        return self.last(self.layer(tokens).mean(-2))


class Convolution(nn.Module):
    """Scans the observed numbers; does not end in a linear layer."""

    def __init__(self, outputs: int):
        super().__init__()
        self.first = nn.Conv1d(1, 6, 2)
        self.second = nn.Conv1d(6, outputs, 2)

    def forward(self, obs: Tensor) -> Tensor:
        return self.second(self.first(obs.unsqueeze(1)).relu()).mean(-1)


@dataclass(kw_only=True)
class AttentiveQ(Learner):
    """Q-learning with a transformer."""

    kinds: ClassVar[tuple[str, ...]] = ("discrete",)
    targets: ClassVar[tuple[str, ...]] = ("worth",)
    critic: ClassVar[str] = "worth"

    def build(self) -> dict[str, nn.Module]:
        return {"worth": Attention(4, self.head.actions)}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            next_q = self.target.worth(batch.next_obs).amax(-1)  # [P, 1, B]
            target = batch.backup(next_q)
        q = self.head.values(self.net.worth, batch.obs).of(batch.action)
        return {"worth": (q - target).square().mean(-1).sum(-1)}


@dataclass(kw_only=True)
class ConvolutionalActor(Learner):
    """Two critics of a Sequential each, and a convolutional policy that climbs them."""

    kinds: ClassVar[tuple[str, ...]] = ("box",)
    targets: ClassVar[tuple[str, ...]] = ("q",)

    def build(self) -> dict[str, nn.Module]:
        critics = [
            nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
            for _ in range(2)
        ]
        return {"q": nn.ModuleList(critics), "policy": Convolution(2)}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            best = self.head.mode(self.net.policy, batch.next_obs)
            next_q = self.head.values(self.target.q, batch.next_obs).of(best)
            target = batch.backup(next_q.amin(1, keepdim=True))
        values = self.head.values(self.net.q, batch.obs)
        q = values.of(batch.action)  # [P, 2, B]
        climbed = values.of(self.head.mode(self.net.policy, batch.obs))
        return {
            "q": (q - target).square().mean(-1).sum(-1),
            "policy": -climbed[:, 0].mean(-1),
        }


LEARNERS: dict[str, type[Learner]] = {
    "discrete": AttentiveQ,
    "box": ConvolutionalActor,
}
every_kind = pytest.mark.parametrize("kind", LEARNERS)


def make(kind: str, seeds: tuple[int, ...] = SEEDS, **settings: Any) -> Any:
    edge = np.full(4, np.inf, np.float32)
    sizes = (3, 0) if kind == "discrete" else (0, 2)
    learner = LEARNERS[kind](**settings)
    return learner.setup(Spec((4,), "float32", -edge, edge, *sizes), seeds)


def batch_of(kind: str, seeds: tuple[int, ...], number: int) -> Batch:
    drawn = []
    for seed in seeds:
        rng = np.random.default_rng([seed, number])
        obs, next_obs = rng.normal(size=(2, 16, 4)).astype(np.float32)
        box = rng.uniform(-1, 1, (16, 2)).astype(np.float32)
        action = box if kind == "box" else rng.integers(3, size=16)
        reward = obs[:, 0].copy()
        drawn.append((obs, action, reward, np.full(16, 0.5, np.float32), next_obs))
    columns = zip(*drawn, strict=True)
    return Batch(*(torch.as_tensor(np.stack(column)) for column in columns))


def train(learner: Any, updates: int, first: int = 0) -> Any:
    kind = learner.kinds[0]
    for number in range(first, first + updates):
        learner.update(batch_of(kind, learner.seeds, number))
    return learner


def some_obs(seeds: int) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(1, 20, 4)).astype(np.float32)
    return drawn.repeat(seeds, 0)


@every_kind
def test_modules_train(kind: str):
    learner = make(kind, learning_rate=1e-2)
    before = learner.snapshot()
    critic = learner.critic
    train(learner, 1)
    first = learner.last_losses[critic].clone()
    train(learner, 150, first=1)
    assert (learner.last_losses[critic] < 0.7 * first).all()
    for name, vector in learner.snapshot().items():
        assert vector.isfinite().all()
        # the scale of observations moves with the data, not with updates
        if name != "normalizer":
            assert not torch.equal(vector, before[name]), name
    assert learner.value(some_obs(3)).shape == (3, 20)


@every_kind
def test_a_seed_draws_and_trains_the_same_alone_and_among_others(kind: str):
    state = torch.random.get_rng_state()
    alone, among = make(kind, (3,)), make(kind, (0, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), state)
    for updates in (0, 5):
        train(alone, updates)
        train(among, updates)
        for name, weights in alone.weights.members.items():
            others = among.weights.members[name].blocks
            for mine, theirs in zip(weights.blocks, others, strict=True):
                torch.testing.assert_close(mine[0], theirs[1], atol=1e-6, rtol=0)
    for block in among.nets[among.critic].weights.blocks:
        if block.dim() > 2:  # biases of layer norms begin equal
            assert not torch.equal(block[0], block[1])


@every_kind
def test_a_resumed_training_continues_bit_for_bit(kind: str):
    learner = train(make(kind), 3)
    state = learner.state()
    through = train(learner, 3, first=3).snapshot()
    resumed = make(kind)
    resumed.load(state)
    for name, vector in train(resumed, 3, first=3).snapshot().items():
        assert torch.equal(vector, through[name])


@every_kind
def test_a_restored_seed_is_as_it_was_and_the_others_stay(kind: str):
    learner = train(make(kind), 2)
    snapshot = learner.snapshot()
    late = train(learner, 2).snapshot()
    learner.restore(snapshot, np.array([True, False, True]))
    for name, weights in learner.weights.members.items():
        old, new = weights.split(snapshot[name]), weights.split(late[name])
        for block, was, stays in zip(weights.blocks, old, new, strict=True):
            assert torch.equal(block, torch.stack([was[0], stays[1], was[2]]))


@every_kind
def test_an_export_acts_as_the_learner_does(kind: str):
    learner = train(make(kind), 3)
    obs = some_obs(3)
    acted = learner.act(obs)
    for seed in range(3):
        output = learner.export(seed)(torch.as_tensor(obs[seed])).detach().numpy()
        if kind == "box":
            np.testing.assert_allclose(output, acted[seed], atol=1e-6)
        else:
            assert output.shape == (20, 3)
            np.testing.assert_array_equal(output.argmax(-1), acted[seed])


@pytest.mark.parametrize("mode", ["compiled", "captured"])
def test_modules_are_updated_in_eager_mode_with_a_sentence(mode: engine.Mode):
    learner = make("discrete")
    with pytest.warns(UserWarning, match=f"eager: worth .* not {mode}"):
        update = engine.updater(learner, mode)
    assert isinstance(update, engine.Eager)
    update(batch_of("discrete", SEEDS, 0), None)
    assert learner.updates == 1


def test_images_are_given_as_numbers_from_zero_to_one():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    network = ModuleNetwork([flat]).setup([np.random.default_rng(0)])
    images = torch.randint(256, (1, 5, 1, 2, 2), dtype=torch.uint8)
    expected = flat(images[0].float() / 255)
    torch.testing.assert_close(network(images)[0, 0], expected)


def test_running_statistics_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match="BatchNorm1d keeps running statistics"):
        ModuleNetwork([nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))])


def test_outputs_of_another_shape_are_refused_in_a_sentence():
    network = ModuleNetwork([nn.Flatten(0)]).setup([np.random.default_rng(0)])
    with pytest.raises(ValueError, match=r"Flatten turned \[5, 4\] into \[20\]"):
        network(torch.zeros(1, 5, 4))
