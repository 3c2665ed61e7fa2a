"""A soft actor-critic (Haarnoja et al. 2018), trained by Stable-Baselines3."""

from dataclasses import dataclass
from typing import Any, ClassVar

from stable_baselines3 import SAC as Algorithm

from curriculum.planners._expert.actor_critic import ActorCritic
from curriculum.types import within


@dataclass(kw_only=True)
class SAC(ActorCritic):
    """For box actions; the target entropy is -1 nat per action dimension."""

    # share of the distance that the target networks move in an update
    target_rate: float = 0.01

    name: ClassVar[str] = "sac"
    algorithm: ClassVar = Algorithm

    def algorithm_settings(self) -> dict[str, Any]:
        return {"tau": self.target_rate}

    def check_ranges(self) -> None:
        super().check_ranges()
        within(self, 0, 1, "target_rate")
