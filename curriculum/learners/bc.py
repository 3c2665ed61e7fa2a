"""BC: behaviour cloning (Pomerleau 1991, Neural Computation 3(1)).

    L(pi) = -E[log pi(a | s)]

Clones whoever filled the buffer; with `--store planner` that is the planner alone. Box
actions: a normal distribution around tanh of the actor's output, with a learnt spread.
"""

from dataclasses import dataclass

from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch


@dataclass(kw_only=True)
class BC(Learner):
    """Maximise the likelihood of the actions in the buffer."""

    def build(self) -> dict[str, Network]:
        """See `Learner`."""
        return {"policy": self.head.actor()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `Learner`."""
        return {
            "policy": -self.head.policy(self.net.policy, batch.obs)
            .log_prob(batch.action)
            .mean(-1)
        }
