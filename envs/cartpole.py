"""A pole on a cart, as in CartPole-v1 of Gymnasium (Barto, Sutton & Anderson 1983)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from curriculum.envs._base.native import Dynamics
from curriculum.envs._base.recipes import HAND_OVER
from curriculum.envs._base.streams import Random
from curriculum.types import INFINITY, within

GRAVITY = 9.8  # m/s^2
CART_MASS = 1.0  # kg
POLE_MASS = 0.1  # kg
MASS = CART_MASS + POLE_MASS
HALF_LENGTH = 0.5  # of the pole, m
MOMENT = POLE_MASS * HALF_LENGTH  # kg m
FORCE = 10.0  # N
SECONDS = 0.02  # duration of a step

# of the picture, pixels
WIDTH = 600
HEIGHT = 400
RAIL = 300  # from its top to the track
WHITE = (255, 255, 255)
BLACK = (0, 0, 0)
GREY = (150, 150, 150)
BROWN = (202, 152, 101)


@dataclass(kw_only=True)
class CartPole(Dynamics):
    """Keep the pole upright and the cart on its track: +1 a step; failure terminates
    the episode.

    Actions push left or right. The state is position (m), velocity, angle (rad,
    clockwise) and angular velocity, [N, 4] float64."""

    max_steps: int = 500  # steps after which an episode is truncated; 0: never

    defaults: ClassVar[dict[str, Any]] = {"planner": "balance", **HAND_OVER}
    fps: ClassVar[int] = round(1 / SECONDS)  # in real time
    position_limit: ClassVar[float] = 2.4  # m
    angle_limit: ClassVar[float] = 12 * 2 * np.pi / 360  # 12 degrees

    def __post_init__(self):
        within(self, 0, INFINITY, "max_steps")

    @property
    def observation_space(self) -> gym.spaces.Box:
        position = 2 * self.position_limit
        angle = 2 * self.angle_limit
        high = np.array([position, np.inf, angle, np.inf], np.float32)
        return gym.spaces.Box(-high, high)

    @property
    def action_space(self) -> gym.spaces.Discrete:
        return gym.spaces.Discrete(2)

    def begin(self, rng: Random, rows: int) -> np.ndarray:
        """First states [N, 4], uniform in +-0.05."""
        return 0.1 * rng.random((rows, 4)) - 0.05

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Random
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next states [N, 4] after one Euler step, rewards [N] and terminated [N];
        deterministic."""
        _, velocity, angle, angular_velocity = state.T
        cos = np.cos(angle)
        sin = np.sin(angle)
        force = np.where(action == 1, FORCE, -FORCE)
        # Florian (2007), "Correct equations for the dynamics of the cart-pole system",
        # eq. 23 and 24 without friction
        push = (force + MOMENT * np.square(angular_velocity) * sin) / MASS
        inertia = HALF_LENGTH * (4 / 3 - POLE_MASS * np.square(cos) / MASS)
        angular_acceleration = (GRAVITY * sin - cos * push) / inertia
        acceleration = push - MOMENT * angular_acceleration * cos / MASS
        change = [velocity, acceleration, angular_velocity, angular_acceleration]
        next_state = state + SECONDS * np.stack(change, -1)
        return next_state, np.ones(len(state)), ~self.success(next_state)

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [N, 4]: the state in float32."""
        return state.astype(np.float32)

    def success(self, state: np.ndarray) -> np.ndarray:
        """Whether the pole is upright and the cart on its track, [N]; at the end of an
        episode this means that it was truncated."""
        position, _, angle, _ = state.T
        is_on_track = np.abs(position) <= self.position_limit
        is_upright = np.abs(angle) <= self.angle_limit
        return is_on_track & is_upright

    def draw(self, state: np.ndarray) -> np.ndarray:
        """A picture [400, 600, 3] uint8 of one state [4]; the track is as wide as the
        picture."""
        import pygame  # imported here because training never draws

        # drawn twice as large and then reduced, for smooth edges
        surface = pygame.Surface((2 * WIDTH, 2 * HEIGHT))
        metre = WIDTH / self.position_limit  # pixels of the large picture
        hinge = pygame.Vector2(WIDTH + metre * state[0], 2 * RAIL - 20)
        surface.fill(WHITE)
        pygame.draw.line(surface, BLACK, (0, 2 * RAIL), (2 * WIDTH, 2 * RAIL), 2)
        pygame.draw.rect(surface, BLACK, (hinge.x - 50, 2 * RAIL - 30, 100, 60))
        pole = pygame.Vector2(0, -2 * HALF_LENGTH * metre).rotate_rad(state[2])
        side = pygame.Vector2(10, 0).rotate_rad(state[2])
        left = [hinge - side, hinge - side + pole]
        right = [hinge + side + pole, hinge + side]
        pygame.draw.polygon(surface, BROWN, [*left, *right])
        pygame.draw.circle(surface, GREY, hinge, 10)
        reduced = pygame.transform.smoothscale_by(surface, 0.5)
        return pygame.surfarray.array3d(reduced).swapaxes(0, 1)
