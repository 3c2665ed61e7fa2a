"""Cal-QL: calibrated conservative Q-learning (Nakamoto et al. 2023, arXiv 2303.05479).

    L(Q) as in `cql`, but values of actions that the policy proposes count as at least V_mu(s):
         alpha * E[log sum_c exp max(Q_k(s, c), V_mu(s)) - Q_k(s, a)]                                   (eq. 5)

V_mu is the discounted return that the buffer's own episode had from s on; where it is
not known yet, there is no bound. The Q values stay on the scale of true returns, so
that learning online does not begin with unlearning them. Differs from the paper: a
fixed `alpha`; the return of an episode that was cut short counts up to there. For
discrete actions, an extension, the bound holds for all actions.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch, within


@dataclass(kw_only=True)
class CalQL(Learner):
    """Conservative Q-learning that pushes no value below what was really earned."""

    targets: ClassVar[tuple[str, ...]] = ("q",)
    needs: ClassVar[tuple[str, ...]] = ("mc_return",)

    # weight of the conservative term: 0 is Q-learning, large clones; small rewards need
    # a small one
    alpha: float = 1.0
    samples: int = 10  # box actions: draws of either kind that stand for all actions

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 0, float("inf"), "alpha")
        within(self, 1, float("inf"), "samples")

    def build(self) -> dict[str, Network]:
        """See `Learner`."""
        return {"q": self.head.critic(self.head.critics), **self.head.maximizer()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `Learner`."""
        with torch.no_grad():
            best = self.head.best(self.net, batch.next_obs)
            target = batch.backup(
                self.head.values(self.target.q, batch.next_obs).least_atoms_of(best)
            )
            proposal = self.head.proposal(self.net, batch.obs)
        values = self.head.values(self.net.q, batch.obs)
        q, soft_max = values.conservative(
            batch.action, proposal, self.samples, floor=batch.mc_return
        )
        loss = self.head.td_error(q, target) + self.alpha * (soft_max - q.mean(-1))
        return {
            "q": loss.mean(-1).sum(-1),
            **self.head.maximizer_losses(self.net, batch.obs),
        }
