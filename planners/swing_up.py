"""Swing a pendulum up by pumping energy into it, and hold it there: near the best there
is (Astrom and Furuta 2000)."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from curriculum.types import Spec

NEAR = 0.7  # rad from upright within which it holds instead of pumping


@dataclass(kw_only=True)
class SwingUp:
    """Push along the motion until the energy is that of standing upright, then hold;
    needs the state of a pendulum."""

    needs: ClassVar[str] = "state"

    def setup(self, env: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        """Keep the world's rows."""
        self.env, world = env, env.world
        if spec.action_size != 1 or not (
            hasattr(world, "torque_limit") and hasattr(world, "speed_limit")
        ):
            raise ValueError(
                f"swing_up needs a pendulum with a motor, such as --env pendulum; {world} is not one"
            )
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Torques [n, 1] as shares of the motor's limit, for the true states of these
        rows."""
        world = self.env.world
        angle, speed = self.env.state[rows].T
        angle = (angle + np.pi) % (2 * np.pi) - np.pi
        weight = world.mass * world.gravity * world.length
        # of a rod that turns about its end
        kinetic = world.mass * world.length**2 / 6 * speed**2
        # joules short of standing upright
        missing = weight / 2 * (1 - np.cos(angle)) - kinetic
        torque = np.where(np.abs(angle) < NEAR, -8 * angle - 2 * speed, speed * missing)
        return np.clip(torque / world.torque_limit, -1, 1).astype(np.float32)[:, None]
