"""Train a smaller policy to act alike: Policy Distillation (Rusu et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from curriculum.shipping.imitation import imitate
from curriculum.shipping.layers import Layer, assemble, dense
from curriculum.types import INFINITY, Technique, among, stream, within

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(kw_only=True)
class Distil(Technique):
    """arXiv 1511.06295. Scores: minimise KL(softmax(q_T / tau) || softmax(q_S)) with a
    small tau. Box actions: minimise their mean squared error.

    Q-values of two actions often differ by 1 %: at tau = 1 their softmax is flat and
    hides which one is best; a small tau sharpens it. The paper uses tau = 0.01; here
    tau is `temperature` times the spread of the teacher's scores over actions, which
    suits Q-values and logits of any size."""

    hidden: tuple[int, ...] = (32, 32)  # widths of the student's hidden layers
    updates: int = 4000  # gradient steps; 1,000 of them take about a second
    batch: int = 128  # observations per gradient step
    learning_rate: float = 0.003  # of Adam; falls linearly to zero
    # tau in units of the spread of scores; small: only the best action counts, large:
    # all do; of no effect on box actions
    temperature: float = 0.03
    # what `temperature` counts; spread: the spread of scores, as above; score: scores
    # themselves, which suits logits
    unit: Literal["spread", "score"] = "spread"

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden widths must be at least 1, got {self.hidden}")
        within(self, 0, INFINITY, "updates")
        within(self, 1, INFINITY, "batch")
        within(self, 1e-9, INFINITY, "learning_rate", "temperature")
        among(self, "unit")

    def compress(
        self, policy: nn.Module, obs: Tensor, seed: int
    ) -> dict[str, nn.Module]:
        """The policy "student"."""
        rng = stream(seed, "distil")
        student = self.student(policy, rng)
        imitate(
            student,
            policy,
            obs,
            rng,
            updates=self.updates,
            batch=self.batch,
            learning_rate=self.learning_rate,
            temperature=self.temperature,
            is_relative=self.unit == "spread",
        )
        return {"student": student}

    def student(self, policy: nn.Module, rng: np.random.Generator) -> nn.Sequential:
        """An untrained student without LayerNorm.

        Hidden layers are He-uniform; the last is zero, so that all actions start with
        equal scores, and box actions at 0."""
        layers = dense(policy)
        inputs = layers[0].weight.shape[1]
        outputs = len(layers[-1].bias)
        fresh: list[Layer] = []
        for fan_in, fan_out in pairwise([inputs, *self.hidden, outputs]):
            is_last = len(fresh) == len(self.hidden)
            bound = 0 if is_last else np.sqrt(6 / fan_in)
            weight = rng.uniform(-bound, bound, (fan_out, fan_in)).astype(np.float32)
            fresh.append(Layer(weight, np.zeros(fan_out, np.float32)))
        fresh[-1] = fresh[-1]._replace(tanh=layers[-1].tanh)
        return assemble(next(policy.children()), fresh)
