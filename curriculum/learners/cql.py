"""CQL: conservative Q-learning (Kumar et al. 2020, arXiv 2006.04779), the form CQL(H) for discrete actions.

    L(Q) = E[huber(Q(s, a) - r - discount * Q_target(s', argmax_b Q(s', b)))]
         + alpha * E[logsumexp_b Q(s, b) - Q(s, a)]                                  (eq. 4)

Differs from the paper: Huber loss and double Q as in `dqn`, `polyak` averaging; acts by its Q.
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
class CQL(Learner):
    """Q-learning that holds down the value of actions the buffer does not show."""

    targets: ClassVar[tuple[str, ...]] = ("q",)
    acts_by: ClassVar[str] = "q"

    alpha: float = 1.0  # weight of the conservative term: 0 is DQN, large values clone the behaviour

    def build(self) -> dict[str, MLP]:
        """See `Learner`."""
        return {"q": self.head.critic(self.hidden)}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `Learner`."""
        with torch.no_grad():
            best = self.head.values(self.net.q, batch.next_obs).best()  # [P, B]
            next_q = self.head.values(self.target.q, batch.next_obs).of(best)  # [P, K, B]
            target = batch.reward.unsqueeze(-2) + batch.discount.unsqueeze(-2) * next_q
        values = self.head.values(self.net.q, batch.obs)
        q = values.of(batch.action)
        conservative = values.logsumexp() - q
        return {"q": (huber(q - target) + self.alpha * conservative).mean(-1).sum(-1)}
