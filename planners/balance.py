"""Balance a pole by pushing its cart to the side it falls to: a linear rule, good for
full episodes, no upper bound."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from curriculum.types import Spec


@dataclass(kw_only=True)
class Balance:
    """Push right where position + 1.5 speed + 18 angle + 4 turning is positive; needs
    the state of a cart-pole."""

    needs: ClassVar[str] = "state"
    # of the state's four numbers, in SI units
    gains: ClassVar[np.ndarray] = np.array([1.0, 1.5, 18.0, 4.0])

    def setup(self, env: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        """Keep the world's rows."""
        self.env, world = env, env.world
        if spec.actions != 2 or not (
            hasattr(world, "position_limit") and hasattr(world, "angle_limit")
        ):
            raise ValueError(
                f"balance needs a pole on a cart, such as --env cartpole; {world} is not one"
            )
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Pushes, 0 left and 1 right, for the true states of these rows."""
        return (self.env.state[rows] @ self.gains > 0).astype(np.int64)
