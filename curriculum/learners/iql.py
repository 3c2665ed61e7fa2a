"""IQL: implicit Q-learning (Kostrikov et al. 2021, arXiv 2110.06169).

    L(V)  = E[|expectile - 1(u < 0)| u^2],  u = min_k Q_target,k(s, a) - V(s)        (eq. 5)
    L(Q)  = E[(r + discount * V(s') - Q_k(s, a))^2], summed over the critics k       (eq. 6)
    L(pi) = -E[exp(temperature * (min_k Q_target,k(s, a) - V(s))) log pi(a | s)]     (eq. 7), weights cut at 100

Box actions: a normal distribution around tanh of the actor's output, as in the authors'
code, but with a spread that depends on the state. Discrete actions, an extension: a
categorical policy; the rest is the same.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch, within


@dataclass(kw_only=True)
class IQL(Learner):
    """Learn the value of the best actions in the buffer without asking about any other,
    then imitate those."""

    targets: ClassVar[tuple[str, ...]] = ("q",)

    # 0.5 is the behaviour's mean value, towards 1 the best action seen
    expectile: float = 0.8
    # 0 clones, large takes only the best; per unit of return: scale large rewards down
    temperature: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 0, 1, "expectile")
        within(self, 0, float("inf"), "temperature")

    def build(self) -> dict[str, Network]:
        """See `Learner`."""
        return {
            "q": self.head.critic(members=2),
            "value": self.head.state_value(),
            "policy": self.head.actor(),
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `Learner`."""
        with torch.no_grad():
            # [P, 1, B]
            target = batch.backup(self.net.value(batch.next_obs).squeeze(-1))
            # [P, B]
            best = self.head.values(self.target.q, batch.obs).of(batch.action).amin(-2)
        q = self.head.values(self.net.q, batch.obs).of(batch.action)  # [P, K, B]
        advantage = best - self.net.value(batch.obs).squeeze(-1).squeeze(-2)  # [P, B]
        weight = (self.temperature * advantage.detach()).exp().clamp(max=100)
        log_prob = self.head.policy(self.net.policy, batch.obs).log_prob(batch.action)
        return {
            "q": (q - target).square().mean(-1).sum(-1),
            "value": (
                torch.where(advantage < 0, 1 - self.expectile, self.expectile)
                * advantage.square()
            ).mean(-1),
            "policy": -(weight * log_prob).mean(-1),
        }
