"""A soft actor-critic without target networks (Bhatt et al. 2024), by sb3-contrib."""

from dataclasses import dataclass
from typing import Any, ClassVar

from sb3_contrib import CrossQ as Algorithm

from curriculum.planners._expert.actor_critic import ActorCritic
from curriculum.types import within


@dataclass(kw_only=True)
class CrossQ(ActorCritic):
    """For box actions, but not for images; batch normalisation replaces the target
    networks."""

    hidden: tuple[int, ...] = (256, 256)  # widths of the hidden layers
    policy_delay: int = 3  # updates of the critics per update of the policy

    name: ClassVar[str] = "crossq"
    algorithm: ClassVar = Algorithm

    def algorithm_settings(self) -> dict[str, Any]:
        return {"policy_delay": self.policy_delay}

    def check_ranges(self) -> None:
        super().check_ranges()
        within(self, 1, float("inf"), "policy_delay")
