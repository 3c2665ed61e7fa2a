"""The settings of trained experts: how good, how long, with which network."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from curriculum.types import within


@dataclass(kw_only=True)
class ExpertSettings:
    """The settings that all trained experts share, with the defaults of Q-networks."""

    # training stops at the first evaluation with this success rate; 0: no such goal
    until_success: float = 0.0
    # training stops at the first evaluation with this mean return; None: no such goal
    until_return: float | None = None
    # maximum environment steps of training; a goal not reached by then is an error;
    # without a goal the best policy of all evaluations is kept
    max_steps: int = 200_000
    # environment steps between evaluations; with fewer, training stops closer to the
    # goal; without a goal there are at most 20
    eval_every: int = 1_000
    eval_episodes: int = 100  # episodes of an evaluation, played greedily
    rows: int = 32  # training environments, stepped together
    updates_per_step: float = 0.5  # gradient updates per environment step
    learning_rate: float = 1e-3  # of Adam
    batch_size: int = 64  # transitions in one update
    # widths of the hidden layers; for images of those after the convolutions
    hidden: tuple[int, ...] = (128, 128)
    discount: float = 0.99  # of rewards per step
    learning_starts: int = 1_000  # random environment steps before the first update
    capacity: int = 100_000  # transitions in the replay buffer
    seed: int = 0  # of training
    # folder of trained experts; an expert with the same settings is found there again
    cache: str = "runs/experts"

    name: ClassVar[str]  # the flag
    algorithm: ClassVar[type[OffPolicyAlgorithm]]
    discrete: ClassVar[bool]  # whether the algorithm takes discrete or box actions

    def algorithm_settings(self) -> dict[str, Any]:
        """Arguments of the algorithm's constructor beyond those of all algorithms."""
        return {}

    def check_ranges(self) -> None:
        """Raise ValueError where a field is out of range."""
        infinity = float("inf")
        within(self, 0, 1, "until_success", "discount", "learning_rate")
        within(self, 1, infinity, "max_steps", "eval_every", "eval_episodes", "rows")
        within(self, 1, infinity, "batch_size", "capacity")
        within(self, 0, infinity, "learning_starts")
        within(self, 0, 2**32 - 1, "seed")
        if not 0 < self.updates_per_step < infinity:
            raise ValueError(
                "updates_per_step must be positive and finite, "
                f"got {self.updates_per_step:g}"
            )
        if self.until_return is not None and math.isnan(self.until_return):
            raise ValueError("until_return must be a number, got nan")
        if min(self.hidden, default=1) < 1:
            given = " ".join(map(str, self.hidden))
            raise ValueError(f"hidden must be widths of at least 1, got {given}")
