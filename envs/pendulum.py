"""A pendulum that a weak motor has to swing up and hold, as in Gymnasium's
Pendulum-v1."""

from dataclasses import dataclass
from typing import ClassVar

import gymnasium as gym
import numpy as np

from curriculum.envs._base.native import Dynamics
from curriculum.envs._base.streams import Random

SECONDS = 0.05  # a step takes
UPRIGHT, STILL = 0.2, 1.0  # rad and rad/s that count as success

SIZE = 500  # side of the picture, pixels
WHITE, BLACK, RED, BLUE = (255, 255, 255), (0, 0, 0), (204, 77, 77), (60, 90, 200)


@dataclass(kw_only=True)
class Pendulum(Dynamics):
    """Swing up and stay there: a step costs angle^2 + 0.1 speed^2 + 0.001 torque^2, and
    nothing ends an episode early.

    The action is a torque. State: angle (rad, 0 is upright, not wrapped), speed
    (rad/s), [N, 2] float64."""

    max_steps: int = 200  # an episode is truncated after so many steps; 0: never

    defaults: ClassVar[dict[str, str]] = {"planner": "swing_up", "learner": "td3bc"}
    fps: ClassVar[int] = round(1 / SECONDS)  # in real time
    gravity: ClassVar[float] = 10.0  # m/s^2
    mass: ClassVar[float] = 1.0  # kg, of a uniform rod
    length: ClassVar[float] = 1.0  # metres
    torque_limit: ClassVar[float] = 2.0  # newton metres
    speed_limit: ClassVar[float] = 8.0  # rad/s

    def __post_init__(self):
        if self.max_steps < 0:
            raise ValueError(
                f"max_steps must be positive, or 0 for no limit, got {self.max_steps}"
            )

    @property
    def observation_space(self) -> gym.spaces.Box:
        high = np.array([1, 1, self.speed_limit], np.float32)
        return gym.spaces.Box(-high, high)

    @property
    def action_space(self) -> gym.spaces.Box:
        return gym.spaces.Box(-self.torque_limit, self.torque_limit, (1,), np.float32)

    def begin(self, rng: Random, rows: int) -> np.ndarray:
        """First states [N, 2]: any angle, speeds in +-1."""
        return (2 * rng.random((rows, 2)) - 1) * (np.pi, 1)

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Random
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next states [N, 2], rewards [N] of the states left, and terminated [N]:
        never; nothing is drawn."""
        angle, speed = state.T
        torque = np.clip(action[:, 0], -self.torque_limit, self.torque_limit)
        cost = wrap(angle) ** 2 + 0.1 * speed**2 + 0.001 * torque**2
        pull = (
            3 * self.gravity / (2 * self.length) * np.sin(angle)
            + 3 / (self.mass * self.length**2) * torque
        )
        speed = np.clip(speed + pull * SECONDS, -self.speed_limit, self.speed_limit)
        return (
            np.stack([angle + speed * SECONDS, speed], -1),
            -cost,
            np.zeros(len(state), bool),
        )

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [N, 3] float32: cosine and sine of the angle, speed."""
        angle, speed = state.T
        return np.stack([np.cos(angle), np.sin(angle), speed], -1).astype(np.float32)

    def success(self, state: np.ndarray) -> np.ndarray:
        """Whether the pendulum stands upright and nearly still, [N]."""
        return (np.abs(wrap(state[:, 0])) <= UPRIGHT) & (np.abs(state[:, 1]) <= STILL)

    def draw(self, state: np.ndarray) -> np.ndarray:
        """A picture [500, 500, 3] uint8 of one state [2]: the rod red, its speed a blue
        arc ahead of the tip."""
        import pygame  # here, not above: training never draws

        # twice as large, and shrunk in the end: smooth edges
        surface = pygame.Surface((2 * SIZE, 2 * SIZE))
        # pixels of the large picture
        centre, metre = pygame.Vector2(SIZE, SIZE), 0.8 * SIZE
        angle, speed = float(state[0]), float(state[1])
        surface.fill(WHITE)
        # pictures turn the other way
        tip = pygame.Vector2(0, -self.length * metre).rotate_rad(-angle)
        side = tip.normalize().rotate(90) * 36
        pygame.draw.polygon(
            surface,
            RED,
            [centre - side, centre - side + tip, centre + side + tip, centre + side],
        )
        for end in (centre, centre + tip):
            pygame.draw.circle(surface, RED, end, 36)
        pygame.draw.circle(surface, BLACK, centre, 16)
        # a quarter second
        arc = [
            centre + 1.15 * tip.rotate_rad(-speed * share)
            for share in np.linspace(0, 0.25, 33)
        ]
        pygame.draw.lines(surface, BLUE, False, arc, 10)
        return pygame.surfarray.array3d(
            pygame.transform.smoothscale_by(surface, 0.5)
        ).swapaxes(0, 1)


def wrap(angle: np.ndarray) -> np.ndarray:
    """The same directions within [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
