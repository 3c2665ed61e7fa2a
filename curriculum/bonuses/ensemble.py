"""Ensemble: exploration by disagreement (Pathak et al. 2019, arXiv 1906.04161).

    bonus(s, a) = coef * Var_k[model_k(s, a)] / sd
    L(model_k)  = E[|model_k(s, a) - features(s')|^2]

Models that begin differently learn to predict random features of the next state: they
agree where they have learnt it, also where it is left to chance, which a prediction
error like that of `rnd` never stops to find new. The variance is averaged over
features; `sd` is its running standard deviation.

Differs from the paper: features are those of a random network, the bonus is recomputed
for every sampled batch, and its weight falls on a schedule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from curriculum.bonuses._novelty.batches import (
    in_units,
    present_in,
    show_observations,
)
from curriculum.bonuses._novelty.deviation import Deviation
from curriculum.bonuses._novelty.weighted import Weighted
from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch, Spec, State, at_most, within


@dataclass(kw_only=True)
class Ensemble(Weighted):
    """Reward actions whose result the models of an ensemble do not agree on."""

    members: int = 5  # models
    embedding: int = 32  # features of a state that they predict
    width: int = 64  # hidden units of each layer
    layers: int = 1  # hidden layers
    # batches that the unit of the bonus averages over; 0: all so far
    memory: int = 0
    learning_rate: float = 1e-3  # of the models

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 0, float("inf"), "learning_rate", "memory")
        at_most(self, 100, "learning_rate")
        within(self, 2, 1_000, "members")
        within(self, 1, float("inf"), "embedding", "width", "layers")

    def setup(self, spec: Spec, seeds: tuple[int, ...], device: str = "cpu") -> Self:
        models = _Models(
            members=self.members,
            embedding=self.embedding,
            hidden=(self.width,) * self.layers,
            learning_rate=self.learning_rate,
        )
        self.models = models.setup(spec, seeds, device)
        self.variances = Deviation(len(seeds), device, self.memory)
        return self

    def reward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        present = present_in(batch)
        show_observations(self.models, batch, present)
        models = self.models
        with torch.no_grad():
            obs = models.normalizer.normalize(batch.obs)
            variance = models.predictions(obs, batch.action).var(1).mean(-1)  # [P, B]
        losses = models.step(batch, self.learning_rate, present)
        models.finish_update(losses)
        self.variances.add(variance, present)
        unit = self.variances.deviation()
        bonus, values = in_units(variance, unit, self.coef_at(step), present)
        return bonus, values | {"model_loss": losses["models"] / self.members}

    def state(self) -> State:
        return {
            "models": self.models.state(),
            "variances": self.variances.sums.clone(),
        }

    def load(self, state: State) -> None:
        self.models.load(state["models"])
        self.variances.sums.copy_(state["variances"])


@dataclass(kw_only=True)
class _Models(Learner):
    """Models of the features of the next state."""

    obs_limit: ClassVar[float] = 5.0

    members: int = 5
    embedding: int = 32

    def build(self) -> Mapping[str, Network | nn.Module]:
        # a critic whose quantiles are the features
        return {
            "features": self.head.network(self.embedding),
            "models": self.head.critic(self.members, self.embedding),
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            features = self.net.features(batch.next_obs)  # [P, 1, B, embedding]
        error = self.predictions(batch.obs, batch.action) - features
        # summed over models: each keeps its own step size
        return {"models": error.square().mean((-1, -2)).sum(-1)}

    def predictions(self, obs: Tensor, action: Tensor) -> Tensor:
        """Features of the next state by every model, [P, K, B, embedding], at
        normalised observations."""
        return self.head.values(self.net.models, obs).quantiles_of(action)
