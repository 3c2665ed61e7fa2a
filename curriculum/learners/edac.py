"""EDAC: ensemble-diversified actor-critic (An et al. 2021, arXiv 2110.01548).

    L(Q) = sum_k E[(r + discount min_j Q'_j(s', b) - Q_k(s, a))^2],  b ~ pi(s')
         + diversity / (K - 1) E[sum_{j != k} <g_j, g_k>]                       (eq. 5)
    g_k  = grad_a Q_k(s, a), scaled to length 1

Q_k are K critics, Q'_k their target networks. The policy and its temperature are those
of soft actor-critic and climb the lowest critic.

Differs from the paper: no entropy in the target. Box actions only, since the penalty
needs gradients with respect to actions.

Shapes: P seeds, K critics, B batch, A numbers of an action.
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
class EDAC(Learner):
    """Trust what many different critics agree on."""

    kinds: ClassVar[tuple[str, ...]] = ("box",)
    targets: ClassVar[tuple[str, ...]] = ("q",)

    critics: int = 10  # number of critics: more are more pessimistic
    # weight of the penalty on critics with similar gradients: 0 is SAC-N, large values
    # make critics differ everywhere
    diversity: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 2, float("inf"), "critics")
        at_most(self, 10_000, "critics")
        within(self, 0, float("inf"), "diversity")
        at_most(self, 1e6, "diversity")
        if self.layer_norm:
            raise ValueError(
                "edac needs the gradients of its critics with respect to actions, "
                "which are not implemented for layer_norm; leave it off"
            )

    def build(self) -> dict[str, Network]:
        return {"q": self.head.critic(self.critics), **self.head.maximizer()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        critic_loss = self.critic_loss(batch)
        return {
            "q": critic_loss,
            **self.head.maximizer_losses(self.net, batch),
        }

    def critic_loss(self, batch: Batch) -> Tensor:
        """Temporal-difference error and similarity of the critics (eq. 5), [P]."""
        target = self.td_target(batch)
        values = self.head.values(self.net.q, batch.obs)
        q = values.of(batch.action)  # [P, K, B]
        td_loss = (q - target).square().mean(-1).sum(-1)
        similarity = self.similarity(values, batch.action).mean(-1)
        return td_loss + self.diversity / (self.critics - 1) * similarity

    def td_target(self, batch: Batch) -> Tensor:
        """r + discount min_j Q'_j(s', b), [P, 1, B]."""
        with torch.no_grad():
            next_action = self.head.best_action(self.net, batch.next_obs)
            next_values = self.head.values(self.target.q, batch.next_obs)
            next_q = next_values.of(next_action)  # [P, K, B]
            return batch.backup(next_q.amin(-2, keepdim=True))

    def similarity(self, values: Values, action: Tensor) -> Tensor:
        """Sum over j != k of the cosines of two critics' gradients, [P, B]."""
        slope = values.slope(action)  # [P, K, B, A]
        slope = slope / slope.norm(dim=-1, keepdim=True).clamp(min=1e-10)
        all_pairs = slope.sum(-3).square().sum(-1)
        same_critic = slope.square().sum((-3, -1))
        return all_pairs - same_critic

    def policy_at(self, obs: Tensor) -> ActionDistribution:
        return self.head.squashed_policy(self.net.policy, obs)

    def diagnose(self, batch: Batch) -> dict[str, Tensor]:
        values = self.head.values(self.net.q, batch.obs)
        q_data = values.of(batch.action)  # [P, K, B]
        pairs = self.critics * (self.critics - 1)
        return {
            **critic_diagnostics(self, batch, self.td_target(batch)),
            "critic_std_data": q_data.std(-2),
            # mean cosine
            "critic_similarity": self.similarity(values, batch.action) / pairs,
            **self.head.maximizer_diagnostics(self.net, batch),
        }
