"""Atari 2600 games as in Machado et al. 2018 (arXiv 1709.06009).

Actions are sticky, and a lost life does not end an episode. The games come with ale-py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, ClassVar, Literal, Self

import gymnasium as gym
import numpy as np

from curriculum.envs._atari.emulator import (
    Engine,
    Preprocessing,
    SingleEngine,
    VectorEngine,
)
from curriculum.envs._atari.games import find_rom, title_of
from curriculum.envs._atari.rows import AtariRows
from curriculum.envs._base.pictures import SIDE
from curriculum.types import World, among, within


@dataclass(kw_only=True)
class Atari(World):
    """Score as many points as possible. Observations are the last few pictures of the
    screen, 84 x 84 in grey."""

    # any of the 104 games of ale-py; MsPacman, ms_pacman and mspacman are the same
    game: str = "Pong"
    sticky: float = 0.25  # probability that a frame repeats the previous action
    # frames that an action is held for; a picture is the maximum of the last two
    frame_skip: int = 4
    # pictures stacked in an observation; those before the first of an episode are black
    frames: int = 4
    # clip rewards to [-1, 1] in training; evaluations always count the score
    clip_rewards: bool = True
    # in training, losing a life ends the episode; the next one continues the game
    episodic_life: bool = False
    # a game begins with a random number of frames without action, below this number
    noop_max: int = 0
    # press FIRE at the beginning of a game that has this action; some games wait for it
    fire_reset: bool = False
    full_actions: bool = False  # all 18 actions instead of those that have an effect
    max_steps: int = 27_000  # steps after which an episode is truncated; 0: never
    # the same for evaluations: a policy that never presses FIRE would play on for ever
    eval_max_steps: int = 3_000
    # single: games can be copied, which planners that search need; slower than vector;
    # auto: single for planners that search
    engine: Literal["auto", "vector", "single"] = "auto"

    # a first result within minutes on two cores: a short search, few pictures
    defaults: ClassVar[dict[str, Any]] = {
        "planner": "shooting",
        "learner": "dqn",
        "planner.plans": 2,
        "planner.horizon": 15,
        "planner.episodes": 1,
        "start.size": 1_000,
        "steps": 5_000,
        "updates_per_step": 0.1,
        "capacity": 20_000,
        "eval_every": 2_500,
        "eval_episodes": 3,
        "eval_mixed": False,
    }
    has_success: ClassVar[bool] = False

    def __post_init__(self):
        within(self, 0, 1, "sticky")
        within(self, 1, float("inf"), "frame_skip", "frames")
        within(self, 0, float("inf"), "noop_max", "max_steps", "eval_max_steps")
        among(self, "engine")
        if find_spec("ale_py"):
            find_rom(self.game)

    @property
    def title(self) -> str:
        return f"ALE-{title_of(find_rom(self.game))}"

    @property
    def fps(self) -> int:
        frames_per_second = 60
        return max(1, round(frames_per_second / self.frame_skip))

    @property
    def observation_space(self) -> gym.spaces.Box:
        return gym.spaces.Box(0, 255, (self.frames, SIDE, SIDE), np.uint8)

    @property
    def action_space(self) -> gym.spaces.Discrete:
        return gym.spaces.Discrete(len(self.preprocessing.action_codes))

    @property
    def preprocessing(self) -> Preprocessing:
        """The game, and how its frames become observations."""
        return Preprocessing(
            rom=find_rom(self.game),
            frames=self.frames,
            frame_skip=self.frame_skip,
            sticky=self.sticky,
            noop_max=self.noop_max,
            fire_reset=self.fire_reset,
            full_actions=self.full_actions,
        )

    def rows(
        self, generators: Sequence[np.random.Generator], rows_per_seed: int = 1
    ) -> AtariRows:
        count = len(generators) * rows_per_seed

        def make_engine(copyable: bool) -> Engine:
            if self.engine == "single" or (self.engine == "auto" and copyable):
                return SingleEngine(self.preprocessing, count)
            return VectorEngine(self.preprocessing, count)

        return AtariRows(
            self,
            make_engine,
            generators,
            rows_per_seed,
            clip_rewards=self.clip_rewards,
            episodic_life=self.episodic_life,
        )

    def evaluated(self) -> Self:
        """The world with whole games, as far as the limit allows, and unclipped
        scores."""
        limits = [limit for limit in (self.max_steps, self.eval_max_steps) if limit]
        return replace(
            self,
            clip_rewards=False,
            episodic_life=False,
            max_steps=min(limits, default=0),
        )
