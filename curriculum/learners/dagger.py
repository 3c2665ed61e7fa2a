"""DAgger: imitation of a planner where the learner goes (Ross et al. 2011, 1011.0686).

    L(pi) = -E[log pi(b | s)],  b what the planner would do at s

The expectation runs over all transitions of the buffer at which the planner was asked:
the start's, its own steps, and the learner's steps in `--label-share`. Cloning only the
planner's own steps (`--learner bc`) never shows the learner how to return from where
its own mistakes lead. The planning rate is the paper's beta.

Differs from the paper: updates go on while data are collected, and a share of the
learner's states is labelled instead of each. Box actions are normal around tanh of the
actor's output, with a learnt standard deviation.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch


@dataclass(kw_only=True)
class DAgger(Learner):
    """Maximise the likelihood of what the planner would do."""

    needs: ClassVar[tuple[str, ...]] = ("label", "has_label")
    critic: ClassVar[str] = ""

    def build(self) -> dict[str, Network]:
        return {"policy": self.head.actor()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"policy": self.policy_loss(batch)}

    def policy_loss(self, batch: Batch) -> Tensor:
        """Negative log-likelihood of the labels, [P]."""
        policy = self.policy_at(batch.obs)
        return self.cloning_loss(self.label_distance(policy, batch), batch)

    def diagnose(self, batch: Batch) -> dict[str, Tensor]:
        policy = self.policy_at(batch.obs)
        action = self.choose(batch.obs)
        return {
            "cloning_error": self.head.action_error(action, batch.action),
            **policy.diagnostics(batch.action),
        }
