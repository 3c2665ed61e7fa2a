"""SAC: soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905) with many critics.

    L(Q)  = sum_k E[(r + discount (min_{j in M} Q'_j(s', b) + T H(s')) - Q_k(s, a))^2]
    L(pi) = -E[mean_k Q_k(s, b) + T H(s)]
    L(T)  = T E[H(s) - target entropy]

b ~ pi, H = -log pi(b | .), T is the temperature, Q_k are K critics, Q'_k their target
networks. M, a random subset of the critics, is REDQ's (Chen et al. 2021, arXiv
2101.05982). With `--sampling symmetric`, which takes half of every batch from the
start's data, this is RLPD (Ball et al. 2023, arXiv 2302.02948), the reference for
online learning from prior data.

Differs from RLPD: network widths, one update per batch, and the target entropy, which
is -1 for each number of an action as in SAC; RLPD's -1/2 is `target_entropy_scale` 0.5.
Discrete actions, an extension after Christodoulou (2019, arXiv 1910.07207):
expectations over actions and the entropy H are exact.

Shapes: P seeds, K critics, B batch.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from curriculum.learning.diagnostics import critic_diagnostics
from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network, Scalar
from curriculum.learning.policies import ActionDistribution
from curriculum.learning.values import Values
from curriculum.types import Batch, at_most, within


@dataclass(kw_only=True)
class SAC(Learner):
    """Climb the critics and stay as random as they allow."""

    targets: ClassVar[tuple[str, ...]] = ("q",)

    # normalise the hidden layers of critics: keeps the values of unseen actions low
    layer_norm: bool = True
    # number of critics: more estimate better, at proportional cost
    critics: int = 10
    # number of random critics whose minimum is the target: more are more pessimistic
    subset: int = 2
    entropy_backup: bool = True  # whether the target includes entropy
    # factor on the target entropy, which is -1 for each number of a box action: less
    # keeps the policy more random; RLPD's is 0.5
    target_entropy_scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 1, float("inf"), "critics")
        at_most(self, 10_000, "critics")
        within(self, 1, self.critics, "subset")
        within(self, 0, 100, "target_entropy_scale")

    def build(self) -> dict[str, Network]:
        return {
            "q": self.head.critic(self.critics),
            "policy": self.head.actor(),
            "temperature": Scalar(0.0),  # its logarithm
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        temperature = self.net.temperature().exp()  # [P]
        values = self.head.values(self.net.q, batch.obs)
        critic_loss = self.critic_loss(batch, values, temperature.detach())
        policy = self.head.squashed_policy(self.net.policy, batch.obs)
        entropy = policy.entropy()  # [P, B]
        q = values.expected(policy)  # [P, K, B]
        return {
            "q": critic_loss,
            "policy": self.policy_loss(q, entropy, temperature.detach()),
            "temperature": self.temperature_loss(entropy.detach(), temperature),
        }

    def critic_loss(self, batch: Batch, values: Values, temperature: Tensor) -> Tensor:
        """Squared error to the policy's soft value of s', summed over critics, [P]."""
        target = self.td_target(batch, temperature)
        q = values.of(batch.action)  # [P, K, B]
        return (q - target).square().mean(-1).sum(-1)

    def td_target(self, batch: Batch, temperature: Tensor) -> Tensor:
        """r + discount (min_{j in M} Q'_j(s', b) + T H(s')), [P, 1, B]."""
        with torch.no_grad():
            next_policy = self.head.squashed_policy(self.net.policy, batch.next_obs)
            next_values = self.head.values(self.target.q, batch.next_obs)
            next_q = next_values.expected(next_policy)  # [P, K, B]
            subset = self.head.random_critics(next_q, self.subset)
            next_value = subset.amin(-2, keepdim=True)  # [P, 1, B]
            if self.entropy_backup:
                bonus = temperature.unsqueeze(-1) * next_policy.entropy()  # [P, B]
                next_value += bonus.unsqueeze(-2)
            return batch.backup(next_value)

    def policy_loss(self, q: Tensor, entropy: Tensor, temperature: Tensor) -> Tensor:
        """Minus the policy's soft value, averaged over critics, [P]."""
        soft_value = q.mean(-2) + temperature.unsqueeze(-1) * entropy  # [P, B]
        return -soft_value.mean(-1)

    def temperature_loss(self, entropy: Tensor, temperature: Tensor) -> Tensor:
        """Lowers the temperature where entropy exceeds its target, [P]."""
        target = self.target_entropy_scale * self.head.target_entropy
        spare_entropy = entropy - target
        return temperature * spare_entropy.mean(-1)

    def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
        """Explores by sampling from the policy; `exploration` is not used."""
        if not explore:
            return super().act(obs)
        noise = self.head.policy_noise(self.explorers, obs.shape[1])
        return self.infer(
            lambda inputs: self.head.sampled_action(self.net.policy, inputs, noise),
            obs,
        )

    def policy_at(self, obs: Tensor) -> ActionDistribution:
        return self.head.squashed_policy(self.net.policy, obs)

    def diagnose(self, batch: Batch) -> dict[str, Tensor]:
        temperature = self.net.temperature().exp()  # [P]
        policy = self.head.squashed_policy(self.net.policy, batch.obs)
        target = self.td_target(batch, temperature)
        return {
            **critic_diagnostics(self, batch, target),
            **policy.diagnostics(batch.action),
            "temperature": temperature,
        }
