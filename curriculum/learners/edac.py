"""EDAC: ensemble-diversified actor-critic (An et al. 2021, arXiv 2110.01548).

    L(Q)  = E[(r + discount * min_j Q_target,j(s', b) - Q_k(s, a))^2], summed over the critics k
          + diversity / (K - 1) * E[sum_{j != k} <grad_a Q_j(s, a), grad_a Q_k(s, a)>],  slopes of unit length   (eq. 5)
    policy and temperature as in SAC, against the least critic

Differs from the paper: no entropy in the target. Box actions alone: the slope with
respect to an action needs them.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch, within


@dataclass(kw_only=True)
class EDAC(Learner):
    """Trust what many critics agree on, and keep them from agreeing by habit."""

    kinds: ClassVar[tuple[str, ...]] = ("box",)
    targets: ClassVar[tuple[str, ...]] = ("q",)

    critics: int = 10  # more are more careful
    diversity: float = 1.0  # weight of the diversity of the critics' slopes: 0 is SAC-N

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 2, float("inf"), "critics")
        within(self, 0, float("inf"), "diversity")
        if self.layer_norm:
            raise ValueError(
                "edac needs the slopes of its critics, which have no form with layer_norm; leave it off"
            )

    def build(self) -> dict[str, Network]:
        """See `Learner`."""
        return {"q": self.head.critic(self.critics), **self.head.maximizer()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `Learner`."""
        with torch.no_grad():
            best = self.head.best(self.net, batch.next_obs)
            # [P, K, B]
            next_q = self.head.values(self.target.q, batch.next_obs).of(best)
            target = batch.backup(next_q.amin(-2, keepdim=True))
        values = self.head.values(self.net.q, batch.obs)
        error = (values.of(batch.action) - target).square().mean(-1).sum(-1)
        slope = values.slope(batch.action)  # [P, K, B, A]
        slope = slope / slope.norm(dim=-1, keepdim=True).clamp(min=1e-10)
        # sum over j != k, [P, B]
        alike = slope.sum(-3).square().sum(-1) - slope.square().sum((-3, -1))
        loss = error + self.diversity / (self.critics - 1) * alike.mean(-1)
        return {"q": loss, **self.head.maximizer_losses(self.net, batch.obs)}
