"""Atari 2600 games, as in Machado et al. 2018 (arXiv 1709.06009): sticky actions, no
cues from lost lives.

The games come with ale-py. Actions number those that do something in the game, no
action first.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, ClassVar, Literal, Self

import gymnasium as gym
import numpy as np

from curriculum.envs._atari.emulator import (
    SIDE,
    Copies,
    Engine,
    SingleEngine,
    VectorEngine,
    actions_of,
    name_of,
    rom_of,
)
from curriculum.envs._base.streams import Streams
from curriculum.types import Rows, Step, World

# steps after which a row's next episode gets a new seed: that loads the game anew,
# which takes 0.2 s
RESEED = 5_000
ENLARGED = 3  # pixels for one


@dataclass(kw_only=True)
class Atari(World):
    """Gain the highest score. Observations are the last few pictures of the screen, 84
    x 84 in grey."""

    # any of the 104 of ale-py: MsPacman, ms_pacman and mspacman are the same
    game: str = "Pong"
    sticky: float = 0.25  # probability that a frame repeats the action before instead
    # frames that an action is held for; a picture shows the brighter of the last two
    frame_skip: int = 4
    # pictures that an observation stacks; those before an episode's first are black
    frames: int = 4
    # to [-1, 1] in training; evaluations always count the score itself
    clip_rewards: bool = True
    # in training a lost life ends the episode, and the next begins where it was lost
    episodic_life: bool = False
    # frames without action at a game's beginning: a random number below this
    noop_max: int = 0
    fire_reset: bool = False  # press FIRE first where the game has it; some wait for it
    full_actions: bool = False  # all 18 actions instead of those that do something
    max_steps: int = 27_000  # an episode is truncated after so many steps; 0: never
    # single: games can be copied, for planners that search; slower
    engine: Literal["vector", "single"] = "vector"

    defaults: ClassVar[dict[str, str]] = {"planner": "dqn", "learner": "dqn"}
    has_success: ClassVar[bool] = False

    def __post_init__(self):
        if not 0 <= self.sticky <= 1:
            raise ValueError(
                f"sticky must be a probability between 0 and 1, got {self.sticky:g}"
            )
        for name, least in {
            "frame_skip": 1,
            "frames": 1,
            "noop_max": 0,
            "max_steps": 0,
        }.items():
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name} must be at least {least}, got {getattr(self, name)}"
                )
        if self.engine not in ("vector", "single"):
            raise ValueError(f"no engine {self.engine!r}; there are: vector, single")
        if find_spec("ale_py"):
            rom_of(self.game)

    @property
    def title(self) -> str:
        """The name of the folder of runs."""
        return f"ALE-{name_of(rom_of(self.game))}"

    @property
    def fps(self) -> int:
        """Steps a second in real time."""
        return max(1, round(60 / self.frame_skip))

    @property
    def observation_space(self) -> gym.spaces.Box:
        return gym.spaces.Box(0, 255, (self.frames, SIDE, SIDE), np.uint8)

    @property
    def action_space(self) -> gym.spaces.Discrete:
        return gym.spaces.Discrete(
            len(actions_of(rom_of(self.game), self.full_actions))
        )

    def rows(
        self, generators: Sequence[np.random.Generator], rows_per_seed: int = 1
    ) -> Rows:
        """Rows of this game, `rows_per_seed` for each generator."""
        return _AtariRows(self, generators, rows_per_seed)

    def evaluated(self) -> Self:
        """The world that evaluations play in: whole games, and the score as it is."""
        return replace(self, clip_rewards=False, episodic_life=False)


class _AtariRows:
    """Rows of an Atari game.

    A row draws a seed for its emulator at an episode's beginning, at the first and then
    every 5,000 steps or more. What happened since follows from it and the actions,
    which is what `save` keeps and `load` replays."""

    def __init__(
        self,
        world: Atari,
        generators: Sequence[np.random.Generator],
        rows_per_seed: int = 1,
    ):
        self.world, self.streams = world, Streams(generators, rows_per_seed)
        self.count = len(generators) * rows_per_seed
        self.single_observation_space = world.observation_space
        self.single_action_space: gym.spaces.Discrete | gym.spaces.Box = (
            world.action_space
        )
        self.engine: Engine = (
            VectorEngine if world.engine == "vector" else SingleEngine
        )(world, self.count)

    def reset(self) -> np.ndarray:
        """Start every row; returns observations [N, frames, 84, 84]."""
        self.seeds, self.age, self.time, self.lives = np.zeros(
            (4, self.count), np.int64
        )
        # actions; the first `age` are those since the seed
        self.history = np.zeros((self.count, 0), np.uint8)
        return self._start(np.arange(self.count), self._draw(np.arange(self.count)))

    def _draw(self, rows: np.ndarray) -> np.ndarray:
        return 1 + (self.streams.of(rows).random((rows.size,)) * (2**31 - 2)).astype(
            np.int64
        )

    def _start(self, rows: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Begin games in `rows`, from a new seed where that is not -1; returns the
        observations of all rows."""
        self.obs, lives = self.engine.reset(rows, seeds)
        self.lives[rows], self.time[rows] = lives[rows], 0
        seeded = rows[seeds >= 0]
        self.seeds[seeded], self.age[seeded] = seeds[seeds >= 0], 0
        return self.obs

    def step(self, action: np.ndarray) -> Step:
        """Take one step in every row, `action` [N]."""
        if self.age.max() == self.history.shape[1]:
            self.history = np.pad(self.history, ((0, 0), (0, 1_000)))
        self.history[np.arange(self.count), self.age] = action
        return self._advance(np.asarray(action, np.int64))

    def _advance(self, action: np.ndarray) -> Step:
        world = self.world
        next_obs, score, over, lives = self.engine.step(action)
        self.time += 1
        self.age += 1
        terminated = over | (lives < self.lives) if world.episodic_life else over
        limit = world.max_steps
        truncated = (
            (self.time >= limit) & ~terminated if limit else np.zeros(self.count, bool)
        )
        self.obs, self.lives = next_obs, lives.astype(np.int64)
        self.time[terminated] = 0
        ended = np.flatnonzero(over | truncated)
        if ended.size:
            seeds = np.full(ended.size, -1)
            due = self.age[ended] >= RESEED
            if due.any():
                seeds[due] = self._draw(ended[due])
            self._start(ended, seeds)
        reward = np.clip(score, -1, 1) if world.clip_rewards else score
        return Step(
            self.obs,
            reward.astype(np.float32),
            terminated,
            truncated,
            next_obs,
            np.zeros(self.count, bool),
        )

    def save(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here: seeds, and the actions
        since."""
        generators = [g.bit_generator.state for g in self.streams.generators]
        history = self.history[:, : self.age.max()].copy()
        seen = zlib.crc32(self.obs.tobytes())
        game = {
            "seeds": self.seeds.copy(),
            "age": self.age.copy(),
            "history": history,
            "seen": seen,
        }
        return game | {"generators": generators}

    def load(self, saved: dict[str, Any]) -> np.ndarray:
        """Play again what `save` returned, some 2,000 steps a second; gives the
        observations to act on.

        Rows with less behind them begin later, so that all arrive together. ValueError
        where a game goes otherwise."""
        seeds, age, history = saved["seeds"], saved["age"], saved["history"]
        self.seeds, self.age, self.time, self.lives = np.zeros(
            (4, self.count), np.int64
        )
        self.history = history.copy()
        for ahead in range(int(age.max()), -1, -1):  # steps to go
            begin = np.flatnonzero(age == ahead)
            if ahead == age.max():
                self._start(np.arange(self.count), np.where(age == ahead, seeds, -1))
            elif begin.size:
                self._start(begin, seeds[begin])
            if ahead:
                past = age - ahead
                self._advance(
                    np.where(past >= 0, history[np.arange(self.count), past], 0).astype(
                        np.int64
                    )
                )
        for generator, state in zip(
            self.streams.generators, saved["generators"], strict=True
        ):
            generator.bit_generator.state = state
        if zlib.crc32(self.obs.tobytes()) != saved["seen"]:
            raise ValueError(
                "the saved game goes otherwise here: use the world and the ale-py that it was saved with"
            )
        return self.obs

    def rest(self, rows: np.ndarray) -> None:
        """Tell which rows, [N] bool, nobody will look at again before `reset`: the
        single engine leaves them alone."""
        self.engine.rest(rows)

    def simulator(self) -> Copies:
        """Copies of these games to think ahead in."""
        if not isinstance(self.engine, SingleEngine):
            raise ValueError(
                "games of the vector engine cannot be copied: add --env.engine single for this planner"
            )
        return Copies(self.world, self.engine)

    def picture(self, row: int) -> np.ndarray:
        """The screen in colour, or the newest picture of the stack in grey, enlarged:
        [height, width, 3] uint8."""
        screen = self.engine.picture(row)
        if screen.ndim == 2:
            screen = np.repeat(screen[..., None], 3, -1)
        return screen.repeat(ENLARGED, 0).repeat(ENLARGED, 1)
