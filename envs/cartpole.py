"""A pole on a cart that is pushed left or right, as in Gymnasium's CartPole-v1 (Barto,
Sutton and Anderson 1983)."""

from dataclasses import dataclass
from typing import ClassVar

import gymnasium as gym
import numpy as np

from curriculum.envs._base.native import Dynamics
from curriculum.envs._base.streams import Random

GRAVITY = 9.8  # m/s^2
CART_MASS, POLE_MASS = 1.0, 0.1  # kg
MASS = CART_MASS + POLE_MASS
HALF_LENGTH = 0.5  # of the pole, metres
MOMENT = POLE_MASS * HALF_LENGTH  # kg m
FORCE = 10.0  # newton
SECONDS = 0.02  # a step takes

# of the picture, and how far below its top the cart runs, pixels
WIDTH, HEIGHT, RAIL = 600, 400, 300
WHITE, BLACK, GREY, BROWN = (255, 255, 255), (0, 0, 0), (150, 150, 150), (202, 152, 101)


@dataclass(kw_only=True)
class CartPole(Dynamics):
    """Keep the pole upright and the cart on its track: +1 a step, and the end for
    whoever fails.

    Actions push left, right. State: position (m), its speed, angle (rad, clockwise),
    its speed, [N, 4] float64."""

    max_steps: int = 500  # an episode is truncated after so many steps; 0: never

    defaults: ClassVar[dict[str, str]] = {"planner": "balance", "learner": "iql"}
    fps: ClassVar[int] = round(1 / SECONDS)  # in real time
    position_limit: ClassVar[float] = 2.4  # metres
    angle_limit: ClassVar[float] = 12 * 2 * np.pi / 360  # 12 degrees

    def __post_init__(self):
        if self.max_steps < 0:
            raise ValueError(
                f"max_steps must be positive, or 0 for no limit, got {self.max_steps}"
            )

    @property
    def observation_space(self) -> gym.spaces.Box:
        high = np.array(
            [2 * self.position_limit, np.inf, 2 * self.angle_limit, np.inf], np.float32
        )
        return gym.spaces.Box(-high, high)

    @property
    def action_space(self) -> gym.spaces.Discrete:
        return gym.spaces.Discrete(2)

    def begin(self, rng: Random, rows: int) -> np.ndarray:
        """First states [N, 4]: every number uniform in +-0.05."""
        return 0.1 * rng.random((rows, 4)) - 0.05

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Random
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next states [N, 4] after one Euler step, rewards [N] and terminated [N];
        nothing is drawn."""
        _, speed, angle, turning = state.T
        cos, sin = np.cos(angle), np.sin(angle)
        force = np.where(action == 1, FORCE, -FORCE)
        # Florian (2007), "Correct equations for the dynamics of the cart-pole system",
        # eq. 23 and 24 without friction
        push = (force + MOMENT * np.square(turning) * sin) / MASS
        turns = (GRAVITY * sin - cos * push) / (
            HALF_LENGTH * (4 / 3 - POLE_MASS * np.square(cos) / MASS)
        )
        speeds_up = push - MOMENT * turns * cos / MASS
        following = state + SECONDS * np.stack([speed, speeds_up, turning, turns], -1)
        return following, np.ones(len(state)), ~self.success(following)

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [N, 4]: the state in float32."""
        return state.astype(np.float32)

    def success(self, state: np.ndarray) -> np.ndarray:
        """Whether the pole stands and the cart is on its track, [N]; at an episode's
        end: whether it was cut short."""
        return (np.abs(state[:, 0]) <= self.position_limit) & (
            np.abs(state[:, 2]) <= self.angle_limit
        )

    def draw(self, state: np.ndarray) -> np.ndarray:
        """A picture [400, 600, 3] uint8 of one state [4]: the track is as wide as the
        picture."""
        import pygame  # here, not above: training never draws

        # twice as large, and shrunk in the end: smooth edges
        surface = pygame.Surface((2 * WIDTH, 2 * HEIGHT))
        metre = WIDTH / self.position_limit  # pixels of the large picture
        hinge = pygame.Vector2(WIDTH + metre * state[0], 2 * RAIL - 20)
        surface.fill(WHITE)
        pygame.draw.line(surface, BLACK, (0, 2 * RAIL), (2 * WIDTH, 2 * RAIL), 2)
        pygame.draw.rect(surface, BLACK, (hinge.x - 50, 2 * RAIL - 30, 100, 60))
        along = pygame.Vector2(0, -2 * HALF_LENGTH * metre).rotate_rad(state[2])
        across = pygame.Vector2(10, 0).rotate_rad(state[2])
        pygame.draw.polygon(
            surface,
            BROWN,
            [
                hinge - across,
                hinge - across + along,
                hinge + across + along,
                hinge + across,
            ],
        )
        pygame.draw.circle(surface, GREY, hinge, 10)
        return pygame.surfarray.array3d(
            pygame.transform.smoothscale_by(surface, 0.5)
        ).swapaxes(0, 1)
