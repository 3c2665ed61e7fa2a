"""AWAC: advantage-weighted actor-critic (Nair et al. 2020, arXiv 2006.09359).

    L(Q)  = sum_k E[(r + discount min_j Q'_j(s', b) - Q_k(s, a))^2],  b ~ pi(s')
    L(pi) = -sum_i w_i log pi(a_i | s_i)                                       (eq. 13)
    w     = softmax over the batch of (min_k Q_k(s, a) - V(s)) / temperature
    V(s)  = min_k Q_k(s, c),  c ~ pi(s)

(s, a, r, s') come from the data, Q_k are two critics, Q'_k their target networks. With
`weighting` exponential, the weight of a transition does not depend on its batch:

    w     = min(exp((min_k Q_k(s, a) - V(s)) / temperature), 100) / B

This is the paper's weight without its partition function Z(s); `temperature` is lambda
in both. The softmax divides by the sum over the batch instead: it has the same
proportions, but its gradient keeps one size, and a common shift of all advantages
cancels, so no weight needs a limit.

Box actions are normal around tanh of the actor's output and clipped to the box.
Discrete actions, an extension: expectations over the policy are exact. Shapes: P seeds,
K = 2 critics, B batch.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from curriculum.learning.diagnostics import critic_diagnostics
from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.learning.values import Values
from curriculum.types import Batch, among, at_most, within

MAX_WEIGHT = 100.0  # of a transition, for exponential weights


@dataclass(kw_only=True)
class AWAC(Learner):
    """Imitate the actions in the data that are better than the policy's own."""

    targets: ClassVar[tuple[str, ...]] = ("q",)

    # in units of return: towards 0 only the best action of a batch counts, large values
    # clone the data
    temperature: float = 1.0
    # softmax: over the batch, they add up to 1; exponential: of each transition alone,
    # at most 100, averaged over the batch
    weighting: Literal["softmax", "exponential"] = "softmax"

    def __post_init__(self) -> None:
        super().__post_init__()
        among(self, "weighting")
        within(self, 1e-6, float("inf"), "temperature")
        at_most(self, 1e6, "temperature")

    def build(self) -> dict[str, Network]:
        return {"q": self.head.critic(members=2), "policy": self.head.actor()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        values = self.head.values(self.net.q, batch.obs)
        q = values.of(batch.action)  # [P, K, B]
        return {
            "q": self.critic_loss(batch, q),
            "policy": self.policy_loss(batch, values, q.detach()),
        }

    def critic_loss(self, batch: Batch, q: Tensor) -> Tensor:
        """Squared error to the policy's value of s', summed over critics, [P]."""
        return (q - self.td_target(batch)).square().mean(-1).sum(-1)

    def td_target(self, batch: Batch) -> Tensor:
        """r + discount min_j Q'_j(s', b), [P, 1, B]."""
        with torch.no_grad():
            next_policy = self.head.policy(self.net.policy, batch.next_obs)
            next_values = self.head.values(self.target.q, batch.next_obs)
            next_q = next_values.expected(next_policy)  # [P, K, B]
            return batch.backup(next_q.amin(-2, keepdim=True))

    def policy_loss(self, batch: Batch, values: Values, q: Tensor) -> Tensor:
        """Advantage-weighted cloning (eq. 13), [P]."""
        policy = self.head.policy(self.net.policy, batch.obs)
        with torch.no_grad():
            value = values.expected(policy).amin(-2)  # [P, B]
            weight = self.cloning_weight(q.amin(-2) - value)
        return -(weight * policy.log_prob(batch.action)).sum(-1)

    def cloning_weight(self, advantage: Tensor) -> Tensor:
        """Weights of the transitions of a batch with these advantages, [P, B] both."""
        scaled = advantage / self.temperature
        if self.weighting == "softmax":
            return scaled.softmax(-1)
        return scaled.exp().clamp(max=MAX_WEIGHT) / scaled.shape[-1]

    def diagnose(self, batch: Batch) -> dict[str, Tensor]:
        values = self.head.values(self.net.q, batch.obs)
        policy = self.head.policy(self.net.policy, batch.obs)
        value = values.expected(policy).amin(-2)  # [P, B]
        advantage = values.of(batch.action).amin(-2) - value
        weight = self.cloning_weight(advantage)
        # 1 where all transitions count alike, 1 / B where one counts alone
        total = weight.sum(-1)
        effective_share = total.square() / (weight.square().sum(-1) * weight.shape[-1])
        clipped = weight * weight.shape[-1] >= MAX_WEIGHT
        shares = {"effective_share": effective_share}
        if self.weighting == "exponential":
            shares["clipped_share"] = clipped.float()
        return {
            **critic_diagnostics(self, batch, self.td_target(batch)),
            "value": value,
            "advantage": advantage,
            **shares,
            **policy.diagnostics(batch.action),
        }
