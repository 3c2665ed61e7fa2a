"""TD3+BC: TD3 with behaviour cloning (Fujimoto & Gu 2021, arXiv 2106.06860).

    L(Q)   = sum_k E[(r + discount min_j Q'_j(s', pi'(s') + noise) - Q_k(s, a))^2]
    L(pi)  = E[(pi(s) - a)^2] - lambda E[Q_1(s, pi(s))]                         (eq. 3)
    lambda = alpha / E|Q_1(s, pi(s))|                                           (eq. 5)

Q_k are two critics, Q'_k and pi' target networks. The policy is updated every `delay`
updates of the critics.

Differs from the paper: target networks move in every update. Discrete actions, an
extension: pi is categorical, Q(s, pi(s)) is its mean value, and -log pi(a | s) takes
the place of the squared error; no noise is added to the target policy.

Shapes: P seeds, K = 2 critics, B batch.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from curriculum.learning.diagnostics import critic_diagnostics
from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.learning.policies import ActionDistribution
from curriculum.learning.values import Values
from curriculum.types import Batch, at_most, within


@dataclass(kw_only=True)
class TD3BC(Learner):
    """Climb the critic and stay close to the actions in the data."""

    targets: ClassVar[tuple[str, ...]] = ("q", "policy")
    regularized: ClassVar[bool] = True

    alpha: float = 2.5  # 0 clones the data, large values follow the critic alone
    delay: int = 2  # updates of the critics for each update of the policy
    # box actions: standard deviation of the noise on the target policy's actions
    target_noise: float = 0.2
    noise_limit: float = 0.5  # box actions: largest such noise

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 0, float("inf"), "alpha", "target_noise", "noise_limit")
        at_most(self, 1e6, "alpha", "target_noise", "noise_limit")
        within(self, 1, float("inf"), "delay")

    @property
    def cycle(self) -> int:
        return self.delay

    def build(self) -> dict[str, Network]:
        return {
            "q": self.head.critic(members=2),
            "policy": self.head.deterministic_actor(),
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        values = self.head.values(self.net.q, batch.obs)
        losses = {"q": self.critic_loss(batch, values)}
        if self.phase == self.delay - 1:
            losses["policy"] = self.policy_loss(batch, values)
        return losses

    def critic_loss(self, batch: Batch, values: Values) -> Tensor:
        """Squared error to the smoothed target policy's value, summed over critics,
        [P]."""
        q = values.of(batch.action)  # [P, K, B]
        return (q - self.td_target(batch)).square().mean(-1).sum(-1)

    def td_target(self, batch: Batch) -> Tensor:
        """r + discount min_j Q'_j(s', pi'(s') + noise), [P, 1, B]."""
        with torch.no_grad():
            policy = self.head.deterministic_policy(self.target.policy, batch.next_obs)
            smoothed = policy.smoothed(self.target_noise, self.noise_limit)
            next_values = self.head.values(self.target.q, batch.next_obs)
            next_q = next_values.expected(smoothed)  # [P, K, B]
            return batch.backup(next_q.amin(-2, keepdim=True))

    def policy_loss(self, batch: Batch, values: Values) -> Tensor:
        """Distance from the data minus the weighted value of the first critic (eq. 3),
        [P]."""
        policy = self.head.deterministic_policy(self.net.policy, batch.obs)
        q = values.expected(policy)[:, 0]  # [P, B]
        distance = policy.distance(batch.action)  # [P, B]
        cloning_loss = self.regularizer_scale * distance.mean(-1)
        return cloning_loss - self.critic_weight(q) * q.mean(-1)

    def critic_weight(self, q: Tensor) -> Tensor:
        """lambda (eq. 5), [P]."""
        return self.alpha / q.detach().abs().mean(-1).clamp(min=1e-6)

    def policy_at(self, obs: Tensor) -> ActionDistribution:
        return self.head.deterministic_policy(self.net.policy, obs)

    def diagnose(self, batch: Batch) -> dict[str, Tensor]:
        values = self.head.values(self.net.q, batch.obs)
        policy = self.head.deterministic_policy(self.net.policy, batch.obs)
        first_q = values.expected(policy)[:, 0]  # [P, B]
        return {
            **critic_diagnostics(self, batch, self.td_target(batch)),
            "critic_weight": self.critic_weight(first_q),
            **policy.diagnostics(batch.action),
        }
