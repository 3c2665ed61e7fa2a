"""IQL: implicit Q-learning (Kostrikov, Nair & Levine 2021, arXiv 2110.06169).

    L(V)  = E[|expectile - 1(u < 0)| u^2],  u = min_k Q'_k(s, a) - V(s)         (eq. 5)
    L(Q)  = sum_k E[(r + discount V(s') - Q_k(s, a))^2]                         (eq. 6)
    L(pi) = -E[min(exp(temperature u), 100) log pi(a | s)]                      (eq. 7)

(s, a, r, s') come from the data, Q_k are two critics, Q'_k their target networks. No
loss uses the value of an action that the data does not show. Shapes: P seeds, K = 2
critics, B batch.

Differs from the paper: the standard deviation of box actions depends on the state.
Discrete actions, an extension: the policy is categorical, everything else is the same.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from curriculum.learning.diagnostics import critic_diagnostics
from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch, at_most, within

MAX_WEIGHT = 100.0  # of a transition in the policy's loss, as in the authors' code


@dataclass(kw_only=True)
class IQL(Learner):
    """Learn the value of the best actions in the data and imitate them."""

    targets: ClassVar[tuple[str, ...]] = ("q",)

    # expectile of the values of the data's actions that V(s) estimates: 0.5 is their
    # mean, towards 1 their maximum
    expectile: float = 0.8
    # inverse temperature, per unit of return: 0 clones the data, large values imitate
    # only the actions with the largest advantage; scale large rewards down
    temperature: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 0, 1, "expectile")
        within(self, 0, float("inf"), "temperature")
        at_most(self, 1e6, "temperature")

    def build(self) -> dict[str, Network]:
        return {
            "q": self.head.critic(members=2),
            "value": self.head.state_value(),
            "policy": self.head.actor(),
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        advantage = self.advantage(batch)  # [P, B]
        return {
            "q": self.critic_loss(batch),
            "value": self.value_loss(advantage),
            "policy": self.policy_loss(batch, advantage.detach()),
        }

    def advantage(self, batch: Batch) -> Tensor:
        """u = min_k Q'_k(s, a) - V(s), [P, B]; its gradient moves V."""
        with torch.no_grad():
            target_q = self.head.values(self.target.q, batch.obs).of(batch.action)
        lowest_q = target_q.amin(-2)  # of the critics
        return lowest_q - self.value_at(batch.obs)

    def value_at(self, obs: Tensor) -> Tensor:
        """V(s), [P, B]."""
        return self.net.value(obs).squeeze(-1).squeeze(-2)  # of [P, 1, B, 1]

    def value_loss(self, advantage: Tensor) -> Tensor:
        """Expectile regression of V(s) on min_k Q'_k(s, a) (eq. 5), [P]."""
        weight = torch.where(advantage < 0, 1 - self.expectile, self.expectile)
        return (weight * advantage.square()).mean(-1)

    def critic_loss(self, batch: Batch) -> Tensor:
        """Squared error to r + discount V(s'), summed over critics (eq. 6), [P]."""
        target = self.td_target(batch)
        q = self.head.values(self.net.q, batch.obs).of(batch.action)  # [P, K, B]
        return (q - target).square().mean(-1).sum(-1)

    def td_target(self, batch: Batch) -> Tensor:
        """r + discount V(s'), [P, 1, B]."""
        with torch.no_grad():
            next_value = self.value_at(batch.next_obs).unsqueeze(-2)
            return batch.backup(next_value)

    def policy_loss(self, batch: Batch, advantage: Tensor) -> Tensor:
        """Negative log-likelihood, weighted by the advantage (eq. 7), [P]."""
        weight = self.cloning_weight(advantage)
        policy = self.head.policy(self.net.policy, batch.obs)
        return -(weight * policy.log_prob(batch.action)).mean(-1)

    def cloning_weight(self, advantage: Tensor) -> Tensor:
        """exp(temperature u), at most MAX_WEIGHT, [P, B]."""
        return (self.temperature * advantage).exp().clamp(max=MAX_WEIGHT)

    def diagnose(self, batch: Batch) -> dict[str, Tensor]:
        policy = self.head.policy(self.net.policy, batch.obs)
        advantage = self.advantage(batch)
        clipped = self.cloning_weight(advantage) >= MAX_WEIGHT
        return {
            **critic_diagnostics(self, batch, self.td_target(batch)),
            "value": self.value_at(batch.obs),
            "advantage": advantage,
            "clipped_share": clipped.float(),
            **policy.diagnostics(batch.action),
        }
