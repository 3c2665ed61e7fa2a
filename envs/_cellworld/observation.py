"""What the prey observes, and rewards as weighted sums of it."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from curriculum.envs._cellworld.columns import PREDATOR, PREY, Columns
from curriculum.envs._cellworld.rules import GOAL_POSITION

OBSERVED = (  # in the order of the original
    "prey_x",
    "prey_y",
    "prey_direction",  # radians, never wrapped
    "predator_x",  # this and the next two are 0 while the predator is out of sight
    "predator_y",
    "predator_direction",
    "prey_goal_distance",
    "predator_prey_distance",
    "puffed",
    "puff_cooled_down",  # seconds until the next puff is possible
    "finished",
)
PREY_POSITION = slice(0, 2)
PREY_DIRECTION = OBSERVED.index("prey_direction")
PREDATOR_POSITION = slice(3, 5)
PREDATOR_DIRECTION = OBSERVED.index("predator_direction")
PREDATOR_POSE = slice(3, 6)
HIDDEN_DISTANCE = 1.0  # observed instead of the distance to a hidden predator


def observed(columns: Columns, hide_distance: bool) -> np.ndarray:
    """The observations of N rows as [11, N] float64."""
    agents = columns.agents
    (predator_x, prey_x), (predator_y, prey_y) = agents.position
    heading = np.radians(agents.heading)
    goal_x, goal_y = GOAL_POSITION
    visible = columns.visible > 0
    distance = columns.distance
    if hide_distance:
        distance = np.where(visible, distance, HIDDEN_DISTANCE)
    return np.stack(
        [
            prey_x,
            prey_y,
            heading[PREY],
            predator_x * visible,
            predator_y * visible,
            heading[PREDATOR] * visible,
            np.hypot(prey_x - goal_x, prey_y - goal_y),
            distance,
            columns.puffed,
            columns.cooldown,
            columns.finished,
        ]
    )


def predator_visible(obs: np.ndarray) -> np.ndarray:
    """Whether observations [N, 11] show the predator, [N]."""
    return np.logical_or.reduce(obs[:, PREDATOR_POSE], -1)


@dataclass(frozen=True, eq=False)
class LinearReward:
    """A weighted sum of the observed fields plus a constant."""

    weights: np.ndarray  # [11]
    offset: float

    @classmethod
    def of(cls, rules: tuple[str, ...]) -> Self:
        """The sum of rules such as "puffed=-1" or "prey_goal_distance=-2+1": field,
        multiplier and offset. ValueError for anything else."""
        weights = np.zeros(len(OBSERVED))
        offset = 0.0
        for rule in rules:
            field, _, numbers = rule.partition("=")
            multiplier, _, shift = numbers.partition("+")
            if field not in OBSERVED:
                raise ValueError(
                    f"no field {field!r} to reward; there are: {', '.join(OBSERVED)}"
                )
            try:
                weights[OBSERVED.index(field)] += float(multiplier)
                offset += float(shift or 0)
            except ValueError:
                raise ValueError(
                    "a reward is written field=multiplier or field=multiplier+offset, "
                    f"got {rule!r}"
                ) from None
        return cls(weights, offset)

    def __call__(self, fields: np.ndarray) -> np.ndarray:
        """Rewards [N] of observations given as [11, N]."""
        return fields.T @ self.weights + self.offset
