"""A pendulum that a weak motor swings up and holds, as in Pendulum-v1 of Gymnasium."""

from dataclasses import dataclass
from typing import ClassVar

import gymnasium as gym
import numpy as np

from curriculum.envs._base.native import Dynamics
from curriculum.envs._base.streams import Random
from curriculum.types import INFINITY, within

SECONDS = 0.05  # duration of a step
# limits within which the pendulum counts as upright and still
UPRIGHT = 0.2  # rad
STILL = 1.0  # rad/s

SIZE = 500  # side of the picture, pixels
WHITE = (255, 255, 255)
BLACK = (0, 0, 0)
RED = (204, 77, 77)
BLUE = (60, 90, 200)


@dataclass(kw_only=True)
class Pendulum(Dynamics):
    """Swing up and stay there: a step costs angle^2 + 0.1 speed^2 + 0.001 torque^2;
    episodes never terminate.

    The action is a torque. The state is angle (rad, 0 is upright, not wrapped) and
    speed (rad/s), [N, 2] float64."""

    max_steps: int = 200  # steps after which an episode is truncated; 0: never

    defaults: ClassVar[dict[str, str]] = {"planner": "swing_up", "learner": "td3bc"}
    fps: ClassVar[int] = round(1 / SECONDS)  # in real time
    gravity: ClassVar[float] = 10.0  # m/s^2
    mass: ClassVar[float] = 1.0  # kg, of a uniform rod
    length: ClassVar[float] = 1.0  # m
    torque_limit: ClassVar[float] = 2.0  # N m
    speed_limit: ClassVar[float] = 8.0  # rad/s

    def __post_init__(self):
        within(self, 0, INFINITY, "max_steps")

    @property
    def observation_space(self) -> gym.spaces.Box:
        high = np.array([1, 1, self.speed_limit], np.float32)
        return gym.spaces.Box(-high, high)

    @property
    def action_space(self) -> gym.spaces.Box:
        return gym.spaces.Box(-self.torque_limit, self.torque_limit, (1,), np.float32)

    def begin(self, rng: Random, rows: int) -> np.ndarray:
        """First states [N, 2]: any angle, a speed in +-1."""
        return (2 * rng.random((rows, 2)) - 1) * (np.pi, 1)

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Random
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next states [N, 2], rewards [N] of `state` and `action`, and terminated [N],
        never true; deterministic."""
        angle, speed = state.T
        torque = np.clip(action[:, 0], -self.torque_limit, self.torque_limit)
        cost = wrap(angle) ** 2 + 0.1 * speed**2 + 0.001 * torque**2
        by_gravity = 3 * self.gravity / (2 * self.length) * np.sin(angle)
        by_torque = 3 / (self.mass * self.length**2) * torque
        acceleration = by_gravity + by_torque
        speed = speed + acceleration * SECONDS
        speed = np.clip(speed, -self.speed_limit, self.speed_limit)
        next_state = np.stack([angle + speed * SECONDS, speed], -1)
        return next_state, -cost, np.zeros(len(state), bool)

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [N, 3] float32: cosine and sine of the angle, speed."""
        angle, speed = state.T
        return np.stack([np.cos(angle), np.sin(angle), speed], -1).astype(np.float32)

    def success(self, state: np.ndarray) -> np.ndarray:
        """Whether the pendulum stands upright and nearly still, [N]."""
        angle, speed = state.T
        is_upright = np.abs(wrap(angle)) <= UPRIGHT
        is_still = np.abs(speed) <= STILL
        return is_upright & is_still

    def draw(self, state: np.ndarray) -> np.ndarray:
        """A picture [500, 500, 3] uint8 of one state [2]: the rod is red, a blue arc
        ahead of its tip shows its speed."""
        import pygame  # imported here because training never draws

        # drawn twice as large and then reduced, for smooth edges
        surface = pygame.Surface((2 * SIZE, 2 * SIZE))
        centre = pygame.Vector2(SIZE, SIZE)
        metre = 0.8 * SIZE  # pixels of the large picture
        angle, speed = state.tolist()
        surface.fill(WHITE)
        # in pictures y points down, so angles have the other sign
        tip = pygame.Vector2(0, -self.length * metre).rotate_rad(-angle)
        side = tip.normalize().rotate(90) * 36
        left = [centre - side, centre - side + tip]
        right = [centre + side + tip, centre + side]
        pygame.draw.polygon(surface, RED, [*left, *right])
        for end in (centre, centre + tip):
            pygame.draw.circle(surface, RED, end, 36)
        pygame.draw.circle(surface, BLACK, centre, 16)
        # the way of the tip in a quarter of a second
        arc = [
            centre + 1.15 * tip.rotate_rad(-speed * share)
            for share in np.linspace(0, 0.25, 33)
        ]
        pygame.draw.lines(surface, BLUE, False, arc, 10)
        reduced = pygame.transform.smoothscale_by(surface, 0.5)
        return pygame.surfarray.array3d(reduced).swapaxes(0, 1)


def wrap(angle: np.ndarray) -> np.ndarray:
    """The same directions within [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
