"""TD3+BC: twin delayed deterministic policy gradient with cloning (Fujimoto & Gu 2021,
arXiv 2106.06860).

    L(Q)  = E[(r + discount * min_j Q_target,j(s', pi_target(s') + noise) - Q_k(s, a))^2], summed over the critics k
    L(pi) = -alpha / E|Q_1(s, pi(s))| * E[Q_1(s, pi(s))] + E[(pi(s) - a)^2],  every `delay` updates     (eq. 3)

Discrete actions, an extension: pi is categorical, Q(s, pi(s)) its mean value, the last
term its surprise -log pi(a | s); there is no target noise, the policy's own spread
smooths. Differs from the paper: target networks follow in every update.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch, within


@dataclass(kw_only=True)
class TD3BC(Learner):
    """Climb the critic without straying from the actions in the buffer."""

    targets: ClassVar[tuple[str, ...]] = ("q", "policy")

    alpha: float = 2.5  # 0 clones the behaviour, large values trust the critic alone
    delay: int = 2  # updates of the critics for one of the policy
    # standard deviation of the noise on the target policy's actions
    target_noise: float = 0.2
    noise_limit: float = 0.5  # largest such noise

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 0, float("inf"), "alpha", "target_noise", "noise_limit")
        within(self, 1, float("inf"), "delay")

    @property
    def cycle(self) -> int:
        """See `Learner`."""
        return self.delay

    def build(self) -> dict[str, Network]:
        """See `Learner`."""
        return {
            "q": self.head.critic(members=2),
            "policy": self.head.deterministic_actor(),
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `Learner`."""
        with torch.no_grad():
            slow = self.head.deterministic(self.target.policy, batch.next_obs)
            smoothed = slow.smoothed(self.target_noise, self.noise_limit)
            # [P, K, B]
            next_q = self.head.values(self.target.q, batch.next_obs).expected(smoothed)
            target = batch.backup(next_q.amin(-2, keepdim=True))
        values = self.head.values(self.net.q, batch.obs)
        losses = {"q": (values.of(batch.action) - target).square().mean(-1).sum(-1)}
        if self.phase == self.delay - 1:
            policy = self.head.deterministic(self.net.policy, batch.obs)
            q = values.expected(policy)[:, 0]  # [P, B]
            weight = self.alpha / q.detach().abs().mean(-1).clamp(min=1e-6)  # [P]
            losses["policy"] = policy.distance(batch.action).mean(-1) - weight * q.mean(
                -1
            )
        return losses
