"""Value gate: planner and learner both propose, and the better proposal acts.

Imitation bootstrapped reinforcement learning (Hu, Mirchandani & Sadigh 2024, arXiv
2311.02198): argmax of Q over the action of the imitated policy and that of the learner.
Here the planner takes the place of the imitated policy, and Q is the lowest of the
learner's critics.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curriculum.types import Gate, Moment


@dataclass(kw_only=True)
class Value(Gate):
    """The planner proposes an action with probability `rate`, and takes the step if the
    learner values its action more than its own.

    Every proposal is a call of the planner, taken or not."""

    needs_critic: ClassVar[bool] = True

    def planner_acts(self, moment: Moment) -> np.ndarray:
        return moment.coin < moment.rate[:, None]

    def accepts(
        self, moment: Moment, planned: np.ndarray, own: np.ndarray
    ) -> np.ndarray:
        value_of_planned = moment.learner.action_value(moment.obs, planned)
        value_of_own = moment.learner.action_value(moment.obs, own)
        return value_of_planned > value_of_own
