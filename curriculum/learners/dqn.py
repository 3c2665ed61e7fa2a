"""DQN: deep Q-learning with double Q targets (Mnih et al. 2015; van Hasselt et al.
2016, arXiv 1509.06461).

    L(Q) = E[huber(Q(s, a) - r - discount * Q_target(s', argmax_b Q(s', b)))]

With `quantiles` the critic gives a distribution of returns and the loss is quantile
regression (QR-DQN: Dabney et al. 2018, arXiv 1710.10044). Differs from the papers:
target networks follow by `polyak` averaging, unless `target_every` says otherwise; Adam
for all.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch, within


@dataclass(kw_only=True)
class DQN(Learner):
    """Learn what each action is worth; act by the best."""

    kinds: ClassVar[tuple[str, ...]] = ("discrete",)
    targets: ClassVar[tuple[str, ...]] = ("q",)

    # the online network chooses the action that the target network values, else the
    # target does
    double: bool = True
    quantiles: int = 1  # of the return that a critic foretells: 1 is its mean

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 1, float("inf"), "quantiles")

    def build(self) -> dict[str, Network]:
        """See `Learner`."""
        return {"q": self.head.critic(quantiles=self.quantiles)}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `Learner`."""
        with torch.no_grad():
            slow = self.head.values(self.target.q, batch.next_obs)
            # [P, B]
            best = (
                self.head.best(self.net, batch.next_obs) if self.double else slow.best()
            )
            target = batch.backup(slow.atoms_of(best))  # [P, K, B, quantiles]
        q = self.head.values(self.net.q, batch.obs).atoms_of(batch.action)
        return {"q": self.head.td_error(q, target).mean(-1).sum(-1)}
