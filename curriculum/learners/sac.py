"""SAC with many critics: soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905) as
REDQ and RLPD use it.

    L(Q)  = E[(r + discount * (min_{j in M} Q_target,j(s', b) + T * H) - Q_k(s, a))^2],  b ~ pi(s'), M random critics
    L(pi) = -E[mean_k Q_k(s, b) + T * H],  b ~ pi(s)
    L(T)  = T * E[H - target entropy],  H = -log pi(b | s)

With `--sampling symmetric`, half of every batch from the start's data, this is RLPD
(Ball et al. 2023, arXiv 2302.02948): the yardstick for learning online from prior data.
A random subset of the critics in the target is REDQ's (Chen et al. 2021, arXiv
2101.05982). Discrete actions, an extension after Christodoulou (2019, arXiv
1910.07207): expectations over actions are exact, and so is H. Differs from RLPD:
network widths, and one update per batch.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network, Scalar
from curriculum.types import Batch, within


@dataclass(kw_only=True)
class SAC(Learner):
    """Climb the critics and stay as random as they allow."""

    targets: ClassVar[tuple[str, ...]] = ("q",)

    # normalise the hidden layers of critics: holds back values of actions never seen
    layer_norm: bool = True
    critics: int = 10  # more estimate better and cost in proportion
    subset: int = 2  # critics whose least value is the target: more are more careful
    entropy_backup: bool = True  # whether entropy counts as reward in the target

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 1, float("inf"), "critics")
        within(self, 1, self.critics, "subset")

    def build(self) -> dict[str, Network]:
        """See `Learner`."""
        return {
            "q": self.head.critic(self.critics),
            "policy": self.head.actor(),
            "temperature": Scalar(0.0),
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `Learner`."""
        temperature = self.net.temperature().exp()  # [P]
        with torch.no_grad():
            policy = self.head.squashed(self.net.policy, batch.next_obs)
            # [P, K, B]
            next_q = self.head.values(self.target.q, batch.next_obs).expected(policy)
            next_value = self.head.subset(next_q, self.subset).amin(-2, keepdim=True)
            if self.entropy_backup:
                next_value += (temperature.unsqueeze(-1) * policy.entropy()).unsqueeze(
                    -2
                )
            target = batch.backup(next_value)  # [P, 1, B]
        values, policy = (
            self.head.values(self.net.q, batch.obs),
            self.head.squashed(self.net.policy, batch.obs),
        )
        entropy = policy.entropy()  # [P, B]
        climbed = (
            values.expected(policy).mean(-2)
            + temperature.detach().unsqueeze(-1) * entropy
        )
        return {
            "q": (values.of(batch.action) - target).square().mean(-1).sum(-1),
            "policy": -climbed.mean(-1),
            "temperature": temperature
            * (entropy - self.head.target_entropy).mean(-1).detach(),
        }

    def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
        """See `Learner`; exploring is drawing from the policy."""
        if not explore:
            return super().act(obs)
        noise = self.head.numpy_noise(self.explorers, obs.shape[1])
        return self.infer(
            lambda seen: self.head.drawn_by(self.net.policy, seen, noise), obs
        )
