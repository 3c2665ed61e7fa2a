"""DQN: deep Q-learning with double Q targets (Mnih et al. 2015; van Hasselt et al. 2016, arXiv 1509.06461).

    L(Q) = E[huber(Q(s, a) - r - discount * Q_target(s', argmax_b Q(s', b)))]

Differs from the paper: the target network follows by `polyak` averaging instead of copies at intervals.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from curriculum.heads import huber
from curriculum.learner import Learner
from curriculum.nets import MLP
from curriculum.types import Batch


@dataclass(kw_only=True)
class DQN(Learner):
    """Learn what each action is worth; act by the best."""

    targets: ClassVar[tuple[str, ...]] = ("q",)
    acts_by: ClassVar[str] = "q"

    def build(self) -> dict[str, MLP]:
        """See `Learner`."""
        return {"q": self.head.critic(self.hidden)}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `Learner`."""
        with torch.no_grad():
            best = self.head.values(self.net.q, batch.next_obs).best()  # [P, B]
            next_q = self.head.values(self.target.q, batch.next_obs).of(best)  # [P, K, B]
            target = batch.reward.unsqueeze(-2) + batch.discount.unsqueeze(-2) * next_q
        q = self.head.values(self.net.q, batch.obs).of(batch.action)
        return {"q": huber(q - target).mean(-1).sum(-1)}
