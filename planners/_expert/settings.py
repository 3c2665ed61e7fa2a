"""The settings of trained experts: how good, how long, with which network."""

from dataclasses import dataclass
from typing import Any, ClassVar

from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from curriculum.planners._expert.goals import Goals
from curriculum.types import within


@dataclass(kw_only=True)
class ExpertSettings(Goals):
    """The settings that all experts of Stable-Baselines3 share, with the defaults of
    Q-networks."""

    rows: int = 32  # training environments, stepped together
    updates_per_step: float = 0.5  # gradient updates per environment step
    learning_rate: float = 1e-3  # of Adam
    batch_size: int = 64  # transitions in one update
    # widths of the hidden layers; for images of those after the convolutions
    hidden: tuple[int, ...] = (128, 128)
    discount: float = 0.99  # of rewards per step
    learning_starts: int = 1_000  # random environment steps before the first update
    capacity: int = 100_000  # transitions in the replay buffer

    libraries: ClassVar[tuple[str, ...]] = (
        "stable-baselines3",
        "sb3-contrib",
        "torch",
    )
    algorithm: ClassVar[type[OffPolicyAlgorithm]]
    discrete: ClassVar[bool]  # whether the algorithm takes discrete or box actions

    def algorithm_settings(self) -> dict[str, Any]:
        """Arguments of the algorithm's constructor beyond those of all algorithms."""
        return {}

    def check_ranges(self) -> None:
        super().check_ranges()
        infinity = float("inf")
        within(self, 0, 1, "discount", "learning_rate")
        within(self, 1, infinity, "rows", "batch_size", "capacity")
        within(self, 0, infinity, "learning_starts")
        if not 0 < self.updates_per_step < infinity:
            raise ValueError(
                "updates_per_step must be positive and finite, "
                f"got {self.updates_per_step:g}"
            )
        if min(self.hidden, default=1) < 1:
            given = " ".join(map(str, self.hidden))
            raise ValueError(f"hidden must be widths of at least 1, got {given}")
