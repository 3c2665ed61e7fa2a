"""Two miniature games with the interface of Atari games: the pixel path in minutes.

Screens, stacks, sticky actions, lives and clipped rewards are those of `atari`, but the
games are native: batched numpy, and copied by copying an array.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import gymnasium as gym
import numpy as np

from curriculum.envs._base.native import Dynamics
from curriculum.envs._base.pictures import SIDE
from curriculum.envs._base.streams import Random
from curriculum.envs._mini_atari.bricks import Bricks
from curriculum.envs._mini_atari.game import ACTION, LIVES, SHOWN, Game
from curriculum.envs._mini_atari.maze import Maze
from curriculum.envs._mini_atari.screen import MOST_LIVES
from curriculum.types import INFINITY, among, within

GAMES: dict[str, Game] = {"bricks": Bricks(), "maze": Maze()}
ENLARGEMENT = 6  # screen pixels to picture pixels


@dataclass(kw_only=True)
class MiniAtari(Dynamics):
    """Score as many points as possible before all lives are lost. Observations are the
    last few screens, 84 x 84 in grey.

    `bricks`: return a ball with a paddle; actions wait, right, left. `maze`: eat
    pellets and avoid a chaser; actions keep the heading, up, right, left, down. The
    state holds what every screen of the stack shows, the newest last, [N, S] int64."""

    # bricks: a ball and a paddle; maze: pellets and a chaser
    game: Literal["bricks", "maze"] = "bricks"
    sticky: float = 0.25  # probability that a step repeats the previous action
    # screens stacked in an observation; those before the first of an episode are black
    frames: int = 4
    # clip rewards to [-1, 1] in training; evaluations always count the score
    clip_rewards: bool = True
    lives: int = 3  # at the beginning, at most 5
    max_steps: int = 1_000  # steps after which an episode is truncated; 0: never

    # a first result within minutes on two cores
    defaults: ClassVar[dict[str, Any]] = {
        "planner": "shooting",
        "planner.plans": 8,
        "planner.horizon": 60,
        "planner.undecided": "keep",
        "planner.tolerance": 0.1,
        "learner": "dqn",
        "planner.episodes": 5,
        "start.size": 2_000,
        "steps": 10_000,
        "updates_per_step": 0.1,
        "capacity": 50_000,
        "eval_every": 5_000,
        "eval_episodes": 5,
        "eval_mixed": False,
    }
    has_success: ClassVar[bool] = False
    fps: ClassVar[int] = 20

    def __post_init__(self):
        among(self, "game")
        within(self, 0, 1, "sticky")
        within(self, 1, INFINITY, "frames")
        within(self, 1, MOST_LIVES, "lives")
        within(self, 0, INFINITY, "max_steps")

    @property
    def title(self) -> str:
        return f"mini_atari-{self.game}"

    @property
    def rules(self) -> Game:
        """The game."""
        return GAMES[self.game]

    @property
    def observation_space(self) -> gym.spaces.Box:
        return gym.spaces.Box(0, 255, (self.frames, SIDE, SIDE), np.uint8)

    @property
    def action_space(self) -> gym.spaces.Discrete:
        return gym.spaces.Discrete(self.rules.actions)

    def evaluated(self) -> Self:
        """The world with unclipped scores."""
        return replace(self, clip_rewards=False)

    def imagined(self) -> Self:
        """The world with unclipped scores and without sticky actions: as copies of
        Atari games."""
        return replace(self, clip_rewards=False, sticky=0.0)

    def begin(self, rng: Random, rows: int) -> np.ndarray:
        """First states [N, S]: black screens and the game's first one."""
        columns = self.rules.columns
        state = np.zeros((rows, self.frames * columns), np.int64)
        drawn = rng.random((rows, self.rules.numbers))
        state[:, -columns:] = self.rules.begin(self.lives, drawn)
        return state

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Random
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next states [N, S], points [N] and terminated [N]: no life is left."""
        columns = self.rules.columns
        now = state[:, -columns:]
        drawn = rng.random((len(state), 1 + self.rules.numbers))
        sticks = drawn[:, 0] < self.sticky
        action = np.where(sticks, now[:, ACTION], action)
        after, points = self.rules.step(now, action, drawn[:, 1:])
        next_state = np.concatenate([state[:, columns:], after], axis=1)
        reward = np.clip(points, -1, 1) if self.clip_rewards else points
        return next_state, reward.astype(np.float64), after[:, LIVES] == 0

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [N, frames, 84, 84]: the screens, oldest first."""
        table = state.reshape(-1, self.rules.columns)
        screens = self.rules.draw(table)
        screens[table[:, SHOWN] == 0] = 0
        return screens.reshape(len(state), self.frames, SIDE, SIDE)

    def success(self, state: np.ndarray) -> np.ndarray:
        """False, [N]: a game has no goal but points."""
        return np.zeros(len(state), bool)

    def draw(self, state: np.ndarray) -> np.ndarray:
        """A picture [504, 504, 3] uint8 of the newest screen of one state, in
        colour."""
        [screen] = self.rules.draw(state[None, -self.rules.columns :])
        palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
        for grey, colour in self.rules.colours.items():
            palette[grey] = colour
        picture = palette[screen]
        return picture.repeat(ENLARGEMENT, 0).repeat(ENLARGEMENT, 1)

    def steer(self, state: np.ndarray, right: int, down: int) -> int:
        """The action that goes in this direction."""
        return self.rules.steer(right, down)
