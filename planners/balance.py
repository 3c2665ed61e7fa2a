"""Balance a pole on a cart by a linear rule, good for full episodes.

It is not an upper bound."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from curriculum.envs._base.door import name_of
from curriculum.envs.cartpole import CartPole
from curriculum.types import Planner, Rows, Spec


@dataclass(kw_only=True)
class Balance(Planner):
    """Push to the right where position + 1.5 velocity + 18 angle + 4 angular velocity
    is positive."""

    needs: ClassVar[str] = "state"
    # of the four numbers of a state, in SI units
    gains: ClassVar[np.ndarray] = np.array([1.0, 1.5, 18.0, 4.0])

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        if not isinstance(rows.world, CartPole):
            raise ValueError(
                "balance needs a pole on a cart, such as --env cartpole; "
                f"{name_of(rows.world)} is not one"
            )
        self.simulator = rows.simulator()
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """0 pushes to the left, 1 to the right."""
        leaning = self.simulator.states(rows) @ self.gains
        return (leaning > 0).astype(np.int64)
