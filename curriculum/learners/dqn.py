"""DQN: double deep Q-learning (van Hasselt et al. 2016, arXiv 1509.06461).

    L(Q) = E[huber(r + discount Q'(s', b) - Q(s, a))],  b = argmax Q(s', .)

Q' is the target network. Without `double`, b = argmax Q'(s', .) (Mnih et al. 2015,
Nature 518). With several `quantiles` the critic predicts a distribution of returns, and
the loss is quantile regression (QR-DQN: Dabney et al. 2018, arXiv 1710.10044).

Differs from the papers: target networks move by `polyak` averaging unless
`target_every` is set; Adam is the optimiser of all variants.

Shapes: P seeds, B batch.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from curriculum.learning.diagnostics import critic_diagnostics
from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch, at_most, within


@dataclass(kw_only=True)
class DQN(Learner):
    """Learn the value of every action and act by the best."""

    kinds: ClassVar[tuple[str, ...]] = ("discrete",)
    targets: ClassVar[tuple[str, ...]] = ("q",)

    # whether the online network chooses the action that the target network values;
    # otherwise the target network chooses, too
    double: bool = True
    # quantiles of the return that a critic predicts: 1 predicts its mean
    quantiles: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 1, float("inf"), "quantiles")
        at_most(self, 10_000, "quantiles")

    def build(self) -> dict[str, Network]:
        return {"q": self.head.critic(quantiles=self.quantiles)}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"q": self.critic_loss(batch)}

    def critic_loss(self, batch: Batch) -> Tensor:
        """Error to r + discount Q'(s', b), [P]."""
        target = self.target_quantiles(batch)
        # [P, 1, B, quantiles]
        q = self.head.values(self.net.q, batch.obs).quantiles_of(batch.action)
        return self.head.td_loss(q, target).mean(-1).sum(-1)

    def target_quantiles(self, batch: Batch) -> Tensor:
        """r + discount Q'(s', b), [P, 1, B, quantiles]."""
        with torch.no_grad():
            next_values = self.head.values(self.target.q, batch.next_obs)
            if self.double:
                next_action = self.head.best_action(self.net, batch.next_obs)
            else:
                next_action = next_values.best_action()
            return batch.backup(next_values.quantiles_of(next_action))

    def diagnose(self, batch: Batch) -> dict[str, Tensor]:
        target = self.target_quantiles(batch).mean(-1)
        return critic_diagnostics(self, batch, target)
