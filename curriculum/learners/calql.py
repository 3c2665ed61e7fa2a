"""Cal-QL: calibrated conservative Q-learning (Nakamoto et al. 2023, arXiv 2303.05479).

    L(Q) = sum_k E[error(r + discount min_j Q'_j(s', b) - Q_k(s, a))]
         + alpha sum_k E[log sum_c exp max(Q_k(s, c), G(s)) - Q_k(s, a)]        (eq. 5)

As `cql`, but the values of the policy's actions count as at least G(s), the discounted
return that the episode in the data earned from s on. The conservative term thus pushes
no value below a return that was earned, and online learning need not begin by
unlearning values that are too low. Where G(s) is not known yet there is no bound.

Differs from the paper: `alpha` is fixed; G(s) of an episode that was cut short ends
there. Discrete actions, an extension: the bound holds for all actions.

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
class CalQL(Learner):
    """Conservative Q-learning that lowers no value below the return earned."""

    targets: ClassVar[tuple[str, ...]] = ("q",)
    regularized: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("mc_return",)

    # weight of the conservative term: 0 is Q-learning, large values clone the data;
    # small rewards need a small alpha
    alpha: float = 1.0
    # box actions: number of uniform actions, and of the policy's, that estimate the
    # conservative term
    samples: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 0, float("inf"), "alpha")
        at_most(self, 1e6, "alpha")
        within(self, 1, float("inf"), "samples")
        at_most(self, 10_000, "samples")

    def build(self) -> dict[str, Network]:
        critic = self.head.critic(self.head.default_critics)
        return {"q": critic, **self.head.maximizer()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        critic_loss = self.critic_loss(batch)
        return {
            "q": critic_loss,
            **self.head.maximizer_losses(self.net, batch),
        }

    def critic_loss(self, batch: Batch) -> Tensor:
        """Temporal-difference error and calibrated conservative term, summed over
        critics (eq. 5), [P]."""
        target = self.target_quantiles(batch)
        q, penalty = self.conservative(batch)
        td_loss = self.head.td_loss(q, target).mean(-1).sum(-1)  # [P]
        penalty = penalty.mean(-1).sum(-1)
        return td_loss + self.alpha * self.regularizer_scale * penalty

    def target_quantiles(self, batch: Batch) -> Tensor:
        """r + discount min_j Q'_j(s', b), [P, 1, B, 1]."""
        with torch.no_grad():
            next_action = self.head.best_action(self.net, batch.next_obs)
            next_values = self.head.values(self.target.q, batch.next_obs)
            return batch.backup(next_values.lowest_quantiles_of(next_action))

    def conservative(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Q_k(s, a), [P, K, B, 1], and the conservative term without its weight,
        [P, K, B]."""
        with torch.no_grad():
            proposal = self.head.proposal(self.net, batch.obs)
        values = self.head.values(self.net.q, batch.obs)
        q, log_sum_exp = values.conservative(
            batch.action, proposal, self.samples, floor=batch.mc_return
        )
        return q, log_sum_exp - q.mean(-1)

    def policy_at(self, obs: Tensor) -> ActionDistribution:
        return self.head.squashed_policy(self.net.policy, obs)

    def diagnose(self, batch: Batch) -> dict[str, Tensor]:
        assert batch.mc_return is not None
        critic = critic_diagnostics(self, batch, self.target_quantiles(batch).mean(-1))
        _, penalty = self.conservative(batch)
        bounded = critic["q_policy"] < batch.mc_return  # [P, B]
        return {
            **critic,
            "conservative_penalty": penalty.mean(-2),  # without its weight
            "bounded_share": bounded.float(),
            **self.head.maximizer_diagnostics(self.net, batch),
        }
