"""CQL: conservative Q-learning (Kumar et al. 2020, arXiv 2006.04779), variant CQL(H).

    L(Q) = sum_k E[error(r + discount min_j Q'_j(s', b) - Q_k(s, a))]           (eq. 4)
         + alpha sum_k E[log sum_c exp Q_k(s, c) - Q_k(s, a)]

Q_k are the critics, Q'_k their target networks.

Discrete actions: one critic, b = argmax Q(s', .), Huber error; acts by its Q. Box
actions: two critics, squared error; b is a sample of a soft actor-critic policy that
climbs the lower critic, without entropy in the target. The sum over c is an integral,
estimated from `samples` uniform actions and as many of the policy (appendix F; the
authors' code adds as many of the policy at s').

Differs from the paper: `alpha` is fixed, not a Lagrange multiplier.

Shapes: P seeds, K critics, B batch.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch, at_most, within


@dataclass(kw_only=True)
class CQL(Learner):
    """Q-learning that lowers the values of actions the data does not show."""

    targets: ClassVar[tuple[str, ...]] = ("q",)

    # weight of the conservative term: 0 is Q-learning, large values clone the data;
    # small rewards need a small alpha
    alpha: float = 1.0
    # quantiles of the return that a critic predicts: 1 predicts its mean
    quantiles: int = 1
    # box actions: number of uniform actions, and of the policy's, that estimate the
    # conservative term
    samples: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 0, float("inf"), "alpha")
        at_most(self, 1e6, "alpha")
        within(self, 1, float("inf"), "quantiles", "samples")
        at_most(self, 10_000, "quantiles", "samples")

    def build(self) -> dict[str, Network]:
        critic = self.head.critic(self.head.default_critics, self.quantiles)
        return {"q": critic, **self.head.maximizer()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        critic_loss = self.critic_loss(batch)
        return {
            "q": critic_loss,
            **self.head.maximizer_losses(self.net, batch.obs),
        }

    def critic_loss(self, batch: Batch) -> Tensor:
        """Temporal-difference error and conservative term, summed over critics (eq. 4),
        [P]."""
        with torch.no_grad():
            target = self.target_quantiles(batch)
            proposal = self.head.proposal(self.net, batch.obs)
        values = self.head.values(self.net.q, batch.obs)
        # [P, K, B, quantiles] and [P, K, B]
        q, log_sum_exp = values.conservative(batch.action, proposal, self.samples)
        td_loss = self.head.td_loss(q, target)  # [P, K, B]
        conservative_loss = log_sum_exp - q.mean(-1)
        loss = td_loss + self.alpha * conservative_loss
        return loss.mean(-1).sum(-1)

    def target_quantiles(self, batch: Batch) -> Tensor:
        """r + discount min_j Q'_j(s', b), [P, 1, B, quantiles]."""
        next_action = self.head.best_action(self.net, batch.next_obs)
        next_values = self.head.values(self.target.q, batch.next_obs)
        return batch.backup(next_values.lowest_quantiles_of(next_action))

    def diagnose(self, batch: Batch) -> dict[str, Tensor]:
        values = self.head.values(self.net.q, batch.obs)
        q_data = values.of(batch.action)  # [P, K, B]
        q_policy = values.of(self.choose(batch.obs))
        q_target = self.head.values(self.target.q, batch.obs).of(batch.action)
        return {
            "q_data": q_data.mean((-2, -1)),
            "q_policy": q_policy.mean((-2, -1)),
            "q_gap": (q_policy - q_data).mean((-2, -1)),
            "target_lag": (q_data - q_target).abs().mean((-2, -1)),
            **self.head.maximizer_diagnostics(self.net, batch.obs),
        }
