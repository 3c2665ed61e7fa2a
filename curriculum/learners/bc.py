"""BC: behaviour cloning (Pomerleau 1991, Neural Computation 3(1)).

    L(pi) = -E[log pi(a | s)]

Clones whoever filled the buffer; with `--store planner` that is the planner alone. Box
actions are normal around tanh of the actor's output, with a learnt standard deviation.

With `--learner.soft-labels`, or a `--learner.stake-power`, the planner's decisions are
cloned instead of what was executed, and nothing else is (see `dagger`).
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch


@dataclass(kw_only=True)
class BC(Learner):
    """Maximise the likelihood of the actions in the buffer."""

    critic: ClassVar[str] = ""

    def build(self) -> dict[str, Network]:
        return {"policy": self.head.actor()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"policy": self.policy_loss(batch)}

    @property
    def clones_labels(self) -> bool:
        return super().clones_labels or self._clones_decisions

    @property
    def _clones_decisions(self) -> bool:
        return self.soft_labels or self.stake_power > 0

    def policy_loss(self, batch: Batch) -> Tensor:
        """Negative log-likelihood, [P]."""
        policy = self.head.policy(self.net.policy, batch.obs)
        if self._clones_decisions:
            return self.cloning_loss(self.label_distance(policy, batch), batch)
        return -policy.log_prob(batch.action).mean(-1)

    def diagnose(self, batch: Batch) -> dict[str, Tensor]:
        policy = self.head.policy(self.net.policy, batch.obs)
        log_prob = policy.log_prob(batch.action)  # [P, B]
        action = self.choose(batch.obs)
        return {
            "cloning_error": self.head.action_error(action, batch.action),
            **policy.diagnostics(batch.action),
            "log_prob_worst": log_prob.amin(-1),
        }
