"""A Q-network of quantiles (Dabney et al. 2018, QR-DQN), trained by sb3-contrib."""

from dataclasses import dataclass
from typing import Any, ClassVar

from sb3_contrib import QRDQN as Algorithm

from curriculum.planners._expert.q_network import QNetwork
from curriculum.types import within


@dataclass(kw_only=True)
class QRDQN(QNetwork):
    """For discrete actions: takes the one with the largest mean over quantiles."""

    quantiles: int = 50  # of the return, estimated for each action

    name: ClassVar[str] = "qrdqn"
    algorithm: ClassVar = Algorithm

    def algorithm_settings(self) -> dict[str, Any]:
        network = {"n_quantiles": self.quantiles}
        return {"policy_kwargs": network, **super().algorithm_settings()}

    def check_ranges(self) -> None:
        super().check_ranges()
        within(self, 1, float("inf"), "quantiles")
