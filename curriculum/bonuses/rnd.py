"""RND: random network distillation (Burda et al. 2018, arXiv 1810.12894).

    bonus(s')    = coef * |predictor(s') - target(s')|^2 / sd
    L(predictor) = E[|predictor(s') - target(s')|^2]

As in the paper, observations are normalised by running statistics and clipped to
[-5, 5]. A feature with useful bounds is scaled by these instead, as for the learner.

Differs from the paper, to fit a replay buffer: the bonus is recomputed for every
sampled batch, so it never goes stale; `sd` is the running standard deviation of the
error itself, not of discounted intrinsic returns, since the transitions of a batch are
not in order; the coefficient falls on a schedule. Bonus and reward have one critic,
with one discount, so the intrinsic return ends with the episode: the paper's second
critic, whose returns go on over the ends of episodes, would have to be in every
learner. With n-step rewards, s' is the state n steps later.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from curriculum.bonuses._novelty.batches import (
    in_units,
    present_in,
    show_observations,
)
from curriculum.bonuses._novelty.deviation import Deviation
from curriculum.bonuses._novelty.weighted import Weighted
from curriculum.learning.kernels import Precision
from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network, Stacked
from curriculum.types import Batch, Spec, State, among, at_most, stream, within

Init = Literal["default", "orthogonal", "uniform", "normal"]


@dataclass(kw_only=True)
class RND(Weighted):
    """Reward states whose random features the predictor has not learnt: rare states."""

    embedding: int = 32  # features of a state
    width: int = 64  # hidden units of each layer of target and predictor
    layers: int = 1  # hidden layers of target and predictor
    predictor_width: int = 0  # of the predictor alone; 0: as the target's
    predictor_layers: int = 0  # of the predictor alone; 0: as the target's
    # how the target's weights begin; default: uniform, smaller for wider layers;
    # uniform: in [0, 1); normal: of deviation 1. The last two make features differ more
    # between states
    target_init: Literal["default", "orthogonal", "uniform", "normal"] = "default"
    # how the predictor's weights begin, in the same ways
    predictor_init: Literal["default", "orthogonal", "uniform", "normal"] = "default"
    # layer: bring the features of every state to mean 0 and deviation 1, so that no
    # state has a larger error for its features being large
    output_norm: Literal["none", "layer"] = "none"
    # what is paid: the squared error, or its root, which differs less between rare and
    # new states, so that more of them are worth going to
    error: Literal["squared", "norm"] = "squared"
    # batches that the unit of the bonus, a standard deviation of errors, averages over:
    # few keep the bonus at one size while errors shrink; 0: all so far, and it shrinks
    memory: int = 0
    # of the predictor; if it is too high nothing stays new, if too low everything does
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 0, float("inf"), "learning_rate")
        at_most(self, 100, "learning_rate")
        within(self, 1, float("inf"), "embedding", "width", "layers")
        within(self, 0, float("inf"), "predictor_width", "predictor_layers", "memory")
        among(self, "target_init", "predictor_init", "output_norm", "error")

    def setup(self, spec: Spec, seeds: tuple[int, ...], device: str = "cpu") -> Self:
        predictor_width = self.predictor_width or self.width
        predictor_layers = self.predictor_layers or self.layers
        networks = _Distillation(
            embedding=self.embedding,
            hidden=(self.width,) * self.layers,
            predictor_hidden=(predictor_width,) * predictor_layers,
            target_init=self.target_init,
            predictor_init=self.predictor_init,
            layer_output=self.output_norm == "layer",
            learning_rate=self.learning_rate,
        )
        self.networks = networks.setup(spec, seeds, device)
        self.errors = Deviation(len(seeds), device, self.memory)
        return self

    def reward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        present = present_in(batch)
        show_observations(self.networks, batch, present)
        networks = self.networks
        with torch.no_grad():
            obs = networks.normalizer.normalize(batch.next_obs)
            error = networks.prediction_error(obs)  # [P, B]
        networks.finish_update(networks.step(batch, self.learning_rate, present))
        novelty = error.sqrt() if self.error == "norm" else error
        self.errors.add(novelty, present)
        unit = self.errors.deviation()
        bonus, values = in_units(novelty, unit, self.coef_at(step), present)
        return bonus, values | {"predictor_loss": error.mean(-1)}

    def maps(self, obs: np.ndarray) -> dict[str, np.ndarray]:
        error = self.networks.infer(self.networks.prediction_error, obs)
        return {"bonus": np.sqrt(error) if self.error == "norm" else error}

    def state(self) -> State:
        return {"networks": self.networks.state(), "errors": self.errors.sums.clone()}

    def load(self, state: State) -> None:
        self.networks.load(state["networks"])
        self.errors.sums.copy_(state["errors"])


@dataclass(kw_only=True)
class _Distillation(Learner):
    """A predictor that learns the outputs of a random target."""

    obs_limit: ClassVar[float] = 5.0

    embedding: int = 32
    predictor_hidden: tuple[int, ...] = (64,)
    target_init: Init = "default"
    predictor_init: Init = "default"
    layer_output: bool = False

    def build(self) -> Mapping[str, Network | nn.Module]:
        of_predictor = copy(self.head)
        of_predictor.body = replace(self.head.body, hidden=self.predictor_hidden)
        return {
            "target": self.head.network(self.embedding),
            "predictor": of_predictor.network(self.embedding),
        }

    def setup(
        self,
        spec: Spec,
        seeds: tuple[int, ...],
        device: str = "cpu",
        precision: Precision = "fp32",
    ) -> Self:
        super().setup(spec, seeds, device, precision)
        _redraw(self.nets["target"], self.target_init, seeds, "target")
        _redraw(self.nets["predictor"], self.predictor_init, seeds, "predictor")
        return self

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"predictor": self.prediction_error(batch.next_obs).mean(-1)}

    def prediction_error(self, obs: Tensor) -> Tensor:
        """Squared error [P, B] at normalised observations."""
        with torch.no_grad():
            target = self.net.target(obs)  # [P, 1, B, embedding]
        predicted = self.net.predictor(obs)
        if self.layer_output:
            shape = (self.embedding,)
            target = functional.layer_norm(target, shape)
            predicted = functional.layer_norm(predicted, shape)
        return (predicted - target).square().mean(-1).squeeze(1)


def _redraw(network: Network, init: Init, seeds: tuple[int, ...], name: str) -> None:
    """Draw the dense layers of a network anew, each seed from a stream of its own."""
    if init == "default":
        return
    assert isinstance(network, Stacked)
    for index, seed in enumerate(seeds):
        generator = stream(seed, f"{init} init {name}")
        for (
            block
        ) in network.body_blocks:  # [P, 1, inputs, outputs], biases [P, 1, 1, n]
            shape = tuple(block.shape[2:])
            drawn = torch.from_numpy(_draw(init, shape, generator))
            block[index, 0] = drawn.to(block)


def _draw(
    init: Init, shape: tuple[int, ...], generator: np.random.Generator
) -> np.ndarray:
    """Weights [inputs, outputs] or a bias [1, outputs]."""
    if init == "uniform":
        return generator.random(shape)
    normal = generator.standard_normal(shape)
    if init == "normal":
        return normal
    if shape[0] == 1:  # a bias
        return np.zeros(shape)
    tall = normal if shape[0] >= shape[1] else normal.T
    columns, triangle = np.linalg.qr(tall)
    columns = columns * np.sign(np.diag(triangle))
    orthogonal = columns if shape[0] >= shape[1] else columns.T
    return np.sqrt(2) * orthogonal  # the gain of ReLU (Saxe et al. 2014)
