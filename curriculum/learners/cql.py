"""CQL: conservative Q-learning (Kumar et al. 2020, arXiv 2006.04779), the form CQL(H).

    L(Q) = E[error(Q_k(s, a) - r - discount * min_j Q_target,j(s', b))]
         + alpha * E[log sum_c exp Q_k(s, c) - Q_k(s, a)],  summed over the critics k                   (eq. 4)

Discrete actions: one critic, b = argmax Q(s', .), Huber error, acts by its Q. Box
actions: two critics, b drawn from a soft actor-critic policy (SAC) that climbs the
lesser critic, squared error, no entropy in the target; the integral over actions is
estimated from `samples` uniform actions and as many of the policy (appendix F; the
authors' code adds as many of the policy at s'). Differs from the paper: a fixed
`alpha`, no Lagrange multiplier.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch, within


@dataclass(kw_only=True)
class CQL(Learner):
    """Q-learning that holds down the value of actions the buffer does not show."""

    targets: ClassVar[tuple[str, ...]] = ("q",)

    # weight of the conservative term: 0 is Q-learning, large clones; small rewards need
    # a small one
    alpha: float = 1.0
    quantiles: int = 1  # of the return that a critic foretells: 1 is its mean
    samples: int = 10  # box actions: draws of either kind that stand for all actions

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 0, float("inf"), "alpha")
        within(self, 1, float("inf"), "quantiles", "samples")

    def build(self) -> dict[str, Network]:
        """See `Learner`."""
        return {
            "q": self.head.critic(self.head.critics, self.quantiles),
            **self.head.maximizer(),
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `Learner`."""
        with torch.no_grad():
            best = self.head.best(self.net, batch.next_obs)
            target = batch.backup(
                self.head.values(self.target.q, batch.next_obs).least_atoms_of(best)
            )
            proposal = self.head.proposal(self.net, batch.obs)
        values = self.head.values(self.net.q, batch.obs)
        # [P, K, B, quantiles] and [P, K, B]
        q, soft_max = values.conservative(batch.action, proposal, self.samples)
        loss = self.head.td_error(q, target) + self.alpha * (soft_max - q.mean(-1))
        return {
            "q": loss.mean(-1).sum(-1),
            **self.head.maximizer_losses(self.net, batch.obs),
        }
