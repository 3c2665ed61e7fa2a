"""AWAC: advantage weighted actor-critic (Nair et al. 2020, arXiv 2006.09359).

    L(Q)  = E[(r + discount * min_j Q_target,j(s', b) - Q_k(s, a))^2],  b ~ pi(s'), summed over the critics k
    L(pi) = -sum_i w_i log pi(a_i | s_i),  w = softmax over the batch of (min_k Q_k(s, a) - V(s)) / temperature (eq. 13)

V(s) is min_k Q_k at an action of the policy. Discrete actions, an extension:
expectations over the policy are exact. Box actions: a normal distribution around tanh
of the actor's output; its draws are cut off at the borders.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch, within


@dataclass(kw_only=True)
class AWAC(Learner):
    """Imitate the actions in the buffer that are better than the policy's own."""

    targets: ClassVar[tuple[str, ...]] = ("q",)

    # in units of return: towards 0 only the batch's best action counts, large values
    # clone
    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 1e-6, float("inf"), "temperature")

    def build(self) -> dict[str, Network]:
        """See `Learner`."""
        return {"q": self.head.critic(members=2), "policy": self.head.actor()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `Learner`."""
        values, policy = (
            self.head.values(self.net.q, batch.obs),
            self.head.policy(self.net.policy, batch.obs),
        )
        q = values.of(batch.action)  # [P, K, B]
        with torch.no_grad():
            next_policy = self.head.policy(self.net.policy, batch.next_obs)
            next_q = self.head.values(self.target.q, batch.next_obs).expected(
                next_policy
            )
            target = batch.backup(next_q.amin(-2, keepdim=True))  # [P, 1, B]
            advantage = q.amin(-2) - values.expected(policy).amin(-2)  # [P, B]
            weight = (advantage / self.temperature).softmax(-1)
        return {
            "q": (q - target).square().mean(-1).sum(-1),
            "policy": -(weight * policy.log_prob(batch.action)).sum(-1),
        }
