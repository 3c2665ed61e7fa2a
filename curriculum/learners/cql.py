"""CQL: conservative Q-learning (Kumar et al. 2020, arXiv 2006.04779), variant CQL(H).

    L(Q) = sum_k E[error(r + discount min_j Q'_j(s', b) - Q_k(s, a))]           (eq. 4)
         + alpha sum_k E[log sum_c exp Q_k(s, c) - Q_k(s, a)]

Q_k are the critics, Q'_k their target networks.

Discrete actions: one critic, b = argmax Q(s', .), Huber error; acts by its Q. Box
actions: two critics, squared error; b is a sample of a soft actor-critic policy that
climbs the lower critic, without entropy in the target. The sum over c is an integral,
estimated from `samples` uniform actions and as many of the policy (appendix F; the
authors' code adds as many of the policy at s').

An optional cloning term, an extension: `bc_weight` E[-log pi(a | s)] in the loss of the
policy. Where the critic acts, pi is its softmax, and the term equals the conservative
one.

Differs from the paper: `alpha` is fixed, not a Lagrange multiplier.

Shapes: P seeds, K critics, B batch.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from curriculum.learning.diagnostics import critic_diagnostics
from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.learning.policies import ActionDistribution
from curriculum.types import Batch, at_most, within


@dataclass(kw_only=True)
class CQL(Learner):
    """Q-learning that lowers the values of actions the data does not show."""

    targets: ClassVar[tuple[str, ...]] = ("q",)
    regularized: ClassVar[bool] = True

    # weight of the conservative term: 0 is Q-learning, large values clone the data;
    # small rewards need a small alpha
    alpha: float = 1.0
    # weight of cloning the data in the policy's loss: 0 follows the critic alone, large
    # values clone; discrete actions: it adds to alpha, whose term is the same
    bc_weight: float = 0.0
    # quantiles of the return that a critic predicts: 1 predicts its mean
    quantiles: int = 1
    # box actions: number of uniform actions, and of the policy's, that estimate the
    # conservative term
    samples: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 0, float("inf"), "alpha", "bc_weight")
        at_most(self, 1e6, "alpha", "bc_weight")
        within(self, 1, float("inf"), "quantiles", "samples")
        at_most(self, 10_000, "quantiles", "samples")

    def build(self) -> dict[str, Network]:
        critic = self.head.critic(self.head.default_critics, self.quantiles)
        return {"q": critic, **self.head.maximizer()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        critic_loss = self.critic_loss(batch)
        return {
            "q": critic_loss,
            **self.head.maximizer_losses(
                self.net, batch, self.bc_weight * self.regularizer_scale
            ),
        }

    def critic_loss(self, batch: Batch) -> Tensor:
        """Temporal-difference error and conservative term, summed over critics (eq. 4),
        [P]."""
        target = self.target_quantiles(batch)
        q, penalty = self.conservative(batch)
        td_loss = self.head.td_loss(q, target)  # [P, K, B]
        weight = self.alpha
        if self.head.critic_acts:
            weight += self.bc_weight
        td_loss = td_loss.mean(-1).sum(-1)  # [P]
        penalty = penalty.mean(-1).sum(-1)
        return td_loss + weight * self.regularizer_scale * penalty

    def target_quantiles(self, batch: Batch) -> Tensor:
        """r + discount min_j Q'_j(s', b), [P, 1, B, quantiles]."""
        with torch.no_grad():
            next_action = self.head.best_action(self.net, batch.next_obs)
            next_values = self.head.values(self.target.q, batch.next_obs)
            return batch.backup(next_values.lowest_quantiles_of(next_action))

    def conservative(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Quantiles of Q_k(s, a), [P, K, B, quantiles], and the conservative term
        without its weight, [P, K, B]."""
        with torch.no_grad():
            proposal = self.head.proposal(self.net, batch.obs)
        values = self.head.values(self.net.q, batch.obs)
        q, log_sum_exp = values.conservative(batch.action, proposal, self.samples)
        return q, log_sum_exp - q.mean(-1)

    def policy_at(self, obs: Tensor) -> ActionDistribution:
        return self.head.squashed_policy(self.net.policy, obs)

    def diagnose(self, batch: Batch) -> dict[str, Tensor]:
        target = self.target_quantiles(batch).mean(-1)
        _, penalty = self.conservative(batch)
        return {
            **critic_diagnostics(self, batch, target),
            "conservative_penalty": penalty.mean(-2),  # without its weight
            **self.head.maximizer_diagnostics(self.net, batch),
        }
