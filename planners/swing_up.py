"""Swing up a pendulum by pumping energy (Astrom and Furuta 2000), then hold it upright.

Its returns are near the best possible."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from curriculum.envs._base.door import name_of
from curriculum.envs.pendulum import Pendulum
from curriculum.types import Planner, Rows, Spec

HOLDING_ANGLE = 0.7  # rad from upright within which it holds instead of pumping
HOLDING_STIFFNESS = 8  # N m per rad
HOLDING_DAMPING = 2  # N m per rad/s


@dataclass(kw_only=True)
class SwingUp(Planner):
    """Push along the motion until the energy is that of the upright position, then
    hold."""

    needs: ClassVar[str] = "state"

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        if not isinstance(rows.world, Pendulum):
            raise ValueError(
                "swing_up needs a pendulum with a motor, such as --env pendulum; "
                f"{name_of(rows.world)} is not one"
            )
        self.world = rows.world
        self.simulator = rows.simulator()
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Torques [n, 1] as shares of the motor's limit."""
        angle, velocity = self.simulator.states(rows).T  # rad from upright, rad/s
        angle = (angle + np.pi) % (2 * np.pi) - np.pi
        holding = -HOLDING_STIFFNESS * angle - HOLDING_DAMPING * velocity
        pumping = velocity * self._missing_energy(angle, velocity)
        torque = np.where(np.abs(angle) < HOLDING_ANGLE, holding, pumping)
        share = np.clip(torque / self.world.torque_limit, -1, 1)
        return share.astype(np.float32)[:, None]

    def _missing_energy(self, angle: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        """Joules [n] by which the energy is below that of the upright position at
        rest."""
        world = self.world
        # of a rod that turns about its end
        kinetic = world.mass * world.length**2 / 6 * velocity**2
        weight = world.mass * world.gravity * world.length
        potential = weight / 2 * (1 - np.cos(angle))  # below the upright position
        return potential - kinetic
