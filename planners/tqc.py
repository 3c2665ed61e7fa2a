"""Truncated quantile critics (Kuznetsov et al. 2020), trained by sb3-contrib."""

from dataclasses import dataclass
from typing import Any, ClassVar

from sb3_contrib import TQC as Algorithm

from curriculum.planners._expert.actor_critic import ActorCritic
from curriculum.types import within


@dataclass(kw_only=True)
class TQC(ActorCritic):
    """For box actions; leaves out the highest quantiles of each critic, against
    overestimation."""

    quantiles: int = 25  # of the return, estimated by each of the two critics
    # highest quantiles left out of each critic: more is more cautious
    dropped: int = 2
    # share of the distance that the target networks move in an update
    target_rate: float = 0.01

    name: ClassVar[str] = "tqc"
    algorithm: ClassVar = Algorithm

    def algorithm_settings(self) -> dict[str, Any]:
        return {
            "policy_kwargs": {"n_quantiles": self.quantiles},
            "top_quantiles_to_drop_per_net": self.dropped,
            "tau": self.target_rate,
        }

    def check_ranges(self) -> None:
        super().check_ranges()
        within(self, 1, float("inf"), "quantiles")
        within(self, 0, self.quantiles - 1, "dropped")
        within(self, 0, 1, "target_rate")
