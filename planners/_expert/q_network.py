"""Experts that learn Q-values: what those for discrete actions share."""

from dataclasses import dataclass
from typing import Any, ClassVar

from curriculum.planners._expert.expert import TrainedExpert
from curriculum.types import within


@dataclass(kw_only=True)
class QNetwork(TrainedExpert):
    """Explores with a share of random actions and learns from a target network."""

    exploration: float = 0.05  # final share of random actions
    explore_steps: int = 5_000  # environment steps in which that share falls from 1
    target_every: int = 500  # environment steps between copies to the target network

    discrete: ClassVar[bool] = True

    def algorithm_settings(self) -> dict[str, Any]:
        return {
            "exploration_final_eps": self.exploration,
            "exploration_fraction": min(1.0, self.explore_steps / self.max_steps),
            "target_update_interval": self.target_every,
        }

    def check_ranges(self) -> None:
        super().check_ranges()
        within(self, 0, 1, "exploration")
        within(self, 0, float("inf"), "explore_steps")
        within(self, 1, float("inf"), "target_every")
