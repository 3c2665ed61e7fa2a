"""BCQ: batch-constrained Q-learning (Fujimoto et al. 2019, arXiv 1812.02900).

    L(Q)   = sum_k E[error(r + discount max_b Q'(s', b) - Q_k(s, a))]
    Q'     = care min_k Q'_k + (1 - care) max_k Q'_k

b runs over candidate actions, which a model of the data's behaviour proposes at s'; Q_k
are two critics, Q'_k their target networks. Acts by the candidate with the highest Q_1.

Box actions: a variational autoencoder of the data's actions proposes `samples`
candidates, and a network that climbs Q_1 moves each by up to `reach`; squared error.
Discrete actions (Fujimoto et al. 2019, arXiv 1910.01708): the candidates are the
actions that a cloned policy finds at least `threshold` times as likely as its
likeliest; Huber error.

Differs from the papers: discrete actions have two critics, too, instead of double Q and
one trunk for critic and clone. Box actions: acting decodes the same `samples` latents
at every state, where the paper draws 10 new ones (and 100 in its code) each time, so
that the policy is deterministic, equal to its exported file, and the same in every
evaluation; the targets of the critics draw new ones.

Shapes: P seeds, K = 2 critics, N candidates, B batch.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from curriculum.learning.behaviour import behaviour_model
from curriculum.learning.diagnostics import critic_diagnostics
from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch, Spec, at_most, within


@dataclass(kw_only=True)
class BCQ(Learner):
    """Q-learning that chooses among actions like those in the data."""

    targets: ClassVar[tuple[str, ...]] = ("q", "perturbation")

    care: float = 0.75  # weight of the lower critic: 1 is pessimistic, 0 optimistic
    threshold: float = 0.3  # discrete actions: 0 is Q-learning, 1 clones the data
    samples: int = 10  # box actions: number of candidates
    # box actions: 0 chooses among cloned actions, 2 allows any action
    reach: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 0, 1, "care", "threshold")
        within(self, 1, float("inf"), "samples")
        at_most(self, 10_000, "samples")
        within(self, 0, 2, "reach")

    def check_actions(self, spec: Spec) -> None:
        super().check_actions(spec)
        if self.label_weight and not spec.actions:
            raise ValueError(
                "bcq learns from labels where actions are discrete, and this world's "
                "are box; set --learner.label-weight 0, or choose another learner, "
                "such as td3bc or iql"
            )

    def build(self) -> dict[str, Network]:
        self.behaviour = behaviour_model(
            self.head, self.samples, self.reach, self.threshold
        )
        return {"q": self.head.critic(members=2), **self.behaviour.build()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        critic_loss = self.critic_loss(batch)
        return {"q": critic_loss, **self.behaviour.losses(self.net, batch)}

    def critic_loss(self, batch: Batch) -> Tensor:
        """Error to r + discount max_b Q'(s', b), summed over critics, [P]."""
        target = self.td_target(batch)
        q = self.head.values(self.net.q, batch.obs).of(batch.action)  # [P, K, B]
        loss = self.head.td_loss(q.unsqueeze(-1), target.unsqueeze(-1))
        return loss.mean(-1).sum(-1)

    def td_target(self, batch: Batch) -> Tensor:
        """r + discount max_b Q'(s', b), [P, 1, B]."""
        with torch.no_grad():
            return batch.backup(self.next_value(batch.next_obs))

    def next_value(self, obs: Tensor) -> Tensor:
        """max_b Q'(s', b), [P, 1, B]."""
        candidates = self.behaviour.propose(self.slow, obs)
        q = self.behaviour.values(self.slow.q, obs, candidates)  # [P, K, N, B]
        lowest = q.amin(1, keepdim=True)
        highest = q.amax(1, keepdim=True)
        weighted = self.care * lowest + (1 - self.care) * highest
        return weighted.amax(-2)

    def label_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Cloning losses [P] of the planner's labels: its action becomes a candidate,
        and the best of them."""
        assert batch.label is not None
        imitator = self.head.policy(self.net.imitator, batch.obs)
        distance = imitator.distance(batch.label)  # [P, B]
        cloning_loss = self.cloning_loss(distance, batch)
        return {"imitator": cloning_loss, **super().label_losses(batch)}

    def choose(self, obs: Tensor) -> Tensor:
        candidates = self.behaviour.propose(self.net, obs, fixed=True)
        q = self.behaviour.values(self.net.q, obs, candidates)  # [P, K, N, B]
        best = q[:, 0].argmax(-2)  # [P, B], by the first critic
        return self.behaviour.pick(candidates, best)

    def export(self, seed: int) -> nn.Sequential:
        policy = self.behaviour.export(self.net, seed)
        return nn.Sequential(self.normalizer.export(seed), policy)

    def diagnose(self, batch: Batch) -> dict[str, Tensor]:
        return {
            **critic_diagnostics(self, batch, self.td_target(batch)),
            **self.behaviour.diagnostics(self.net, batch),
        }
