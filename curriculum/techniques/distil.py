"""Train a smaller student to act like the policy: Policy Distillation, Rusu et al.
2015, arXiv 1511.06295."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from curriculum.shipping.artefact import deployable, quantized
from curriculum.shipping.imitation import imitate
from curriculum.shipping.layers import Layer, assemble, dense
from curriculum.types import Deployable, stream

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(kw_only=True)
class Distil:
    """Scores: minimise KL(softmax(q_T / tau) || softmax(q_S)) with a small tau. Box
    actions: their mean squared error.

    Two actions' Q-values often differ by 1 %: at tau = 1 their softmax is flat and
    hides which one is best; a small tau sharpens it. The paper fixes tau = 0.01; here
    tau is `temperature` times the spread of the teacher's scores over actions, which is
    right for Q-values and for logits of any size. Box actions have no temperature."""

    hidden: tuple[int, ...] = (32, 32)  # widths of the student's hidden layers
    updates: int = 4000  # gradient steps; 1,000 of them take about a second
    batch: int = 128  # observations per gradient step
    learning_rate: float = 0.003  # of Adam, falling to zero step by step
    # tau in units of the spread of scores; small: the best action counts, large: all do
    temperature: float = 0.03

    def compress(
        self, policy: nn.Module, obs: Tensor, seed: int
    ) -> dict[str, Deployable]:
        """The student, and the same with int8 weights."""
        rng = stream(seed, "distil")
        small = self.student(policy, rng)
        imitate(
            small,
            policy,
            obs,
            rng,
            updates=self.updates,
            batch=self.batch,
            learning_rate=self.learning_rate,
            temperature=self.temperature,
        )
        student = deployable(small)
        return {"student": student, "student-int8": quantized(student)}

    def student(self, policy: nn.Module, rng: np.random.Generator) -> nn.Sequential:
        """An untrained student without LayerNorm: He-uniform layers, but zeros in the
        last, so that every action starts equal, or 0 where it is a box action."""
        layers = dense(policy)
        widths = [layers[0].weight.shape[1], *self.hidden, len(layers[-1].bias)]
        fresh: list[Layer] = []
        for fan_in, fan_out in pairwise(widths):
            bound = np.sqrt(6 / fan_in) if len(fresh) < len(self.hidden) else 0
            weight = rng.uniform(-bound, bound, (fan_out, fan_in)).astype(np.float32)
            fresh.append(Layer(weight, np.zeros(fan_out, np.float32)))
        fresh[-1] = fresh[-1]._replace(tanh=layers[-1].tanh)
        return assemble(next(policy.children()), fresh)
