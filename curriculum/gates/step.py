"""Step gate: a coin flip for every environment step."""

from dataclasses import dataclass

import numpy as np

from curriculum.types import Gate, Moment


@dataclass(kw_only=True)
class Step(Gate):
    """The planner takes each step with probability `rate`."""

    def planner_acts(self, moment: Moment) -> np.ndarray:
        return moment.coin < moment.rate[:, None]
