"""Step gate: a coin is tossed for every environment step."""

from dataclasses import dataclass

import numpy as np


@dataclass(kw_only=True)
class Step:
    """The planner takes each step with probability `rate`."""

    def planner_acts(
        self, rate: np.ndarray, time: np.ndarray, coin: np.ndarray
    ) -> np.ndarray:
        """See `curriculum.types.Gate`."""
        return coin < rate[:, None]
