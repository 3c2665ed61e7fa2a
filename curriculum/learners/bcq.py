"""BCQ: batch-constrained Q-learning (Fujimoto et al. 2019, arXiv 1812.02900; discrete:
arXiv 1910.01708).

    L(Q) = E[error(r + discount * max_b [care * min_k + (1 - care) * max_k] Q_target,k(s', b) - Q_k(s, a))],
           b among the actions that the data supports at s', summed over the critics k

Box actions: b comes from `samples` decodings of a variational autoencoder of the data's
actions, each moved by up to `reach` by a network that climbs Q_1; squared error.
Discrete actions: b is any action that a cloned policy finds at least `threshold` times
as likely as its likeliest; Huber error. Acts by the best of b according to Q_1. Differs
from the papers: discrete actions too have two critics, instead of double Q and one
trunk for critic and clone; acting decodes the same latent draws for every state, so
that the policy is deterministic.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.learning.support import support
from curriculum.types import Batch, within


@dataclass(kw_only=True)
class BCQ(Learner):
    """Q-learning over actions that the buffer might have shown."""

    targets: ClassVar[tuple[str, ...]] = ("q", "perturbation")

    care: float = 0.75  # weight of the lesser critic: 1 is pessimistic, 0 optimistic
    threshold: float = 0.3  # discrete actions: 0 is Q-learning, 1 clones the behaviour
    samples: int = 10  # box actions: how many a choice is made from
    reach: float = 0.05  # box actions: 0 is choosing among cloned actions, 2 is free

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 0, 1, "care", "threshold")
        within(self, 1, float("inf"), "samples")
        within(self, 0, 2, "reach")

    def build(self) -> dict[str, Network]:
        """See `Learner`."""
        self.support = support(self.head, self.samples, self.reach, self.threshold)
        return {"q": self.head.critic(members=2), **self.support.build()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `Learner`."""
        with torch.no_grad():
            proposed = self.support.propose(self.slow, batch.next_obs)
            # [P, K, N, B]
            next_q = self.support.values(self.slow.q, batch.next_obs, proposed)
            weighed = self.care * next_q.amin(1, keepdim=True) + (
                1 - self.care
            ) * next_q.amax(1, keepdim=True)
            target = batch.backup(weighed.amax(-2))  # [P, 1, B]
        q = self.head.values(self.net.q, batch.obs).of(batch.action)
        error = self.head.td_error(q.unsqueeze(-1), target.unsqueeze(-1))
        return {"q": error.mean(-1).sum(-1), **self.support.losses(self.net, batch)}

    def choose(self, obs: Tensor) -> Tensor:
        """See `Learner`."""
        proposed = self.support.propose(self.net, obs, fixed=True)
        return self.support.pick(
            proposed, self.support.values(self.net.q, obs, proposed)[:, 0].argmax(-2)
        )

    def export(self, seed: int) -> nn.Sequential:
        """See `Learner`."""
        return nn.Sequential(self.normalizer.export(seed), self.support.export(self.net, seed))
