"""Any Gymnasium environment, by its id.

Examples are Hopper-v5, CartPole-v1, MiniGrid-Empty-8x8-v0, PointMaze_UMaze-v3 and
my_module:My-v0. Observations become flat float32 numbers, or stacks of grey pictures;
box actions lie in [-1, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from curriculum.envs._gym.rows import GymRows
from curriculum.envs._gym.source import Facts, Source
from curriculum.envs._gym.suited import suited
from curriculum.types import World, within

# returns that D4RL scores 0 and 100 (Fu et al. 2020, arXiv 2004.07219, and their code)
D4RL_RETURNS = {
    "Ant": (-325.6, 3879.7),
    "HalfCheetah": (-280.178953, 12135.0),
    "Hopper": (-20.272305, 3234.3),
    "Walker2d": (1.629008, 4592.3),
}


@dataclass(kw_only=True)
class Gym(World):
    """Every row is an environment of its own and is seeded anew for every episode, so a
    seed and the actions since then determine its state."""

    # as for gymnasium.make; my_module:My-v0 imports my_module first, my_module:My and
    # my_file.py:My are classes that are not registered
    id: str = "Hopper-v5"
    # keywords of the environment, such as forward_reward_weight=2 (JSON, or else text)
    options: tuple[str, ...] = ()
    # parts of a dictionary or tuple to observe, such as achieved_goal; empty: all
    parts: tuple[str, ...] = ()
    # last pictures stacked in an observation, of environments that show pictures
    stack: int = 4
    # steps after which an episode is truncated; -1: the registered number, 0: never
    time_limit: int = -1
    # an episode with at least this return is a success; None: what the environment
    # reports in the last step (is_success or success), else the registered threshold
    success_return: float | None = None
    # returns that D4RL scores 0 and 100; empty: its own, for Ant, HalfCheetah, Hopper
    # and Walker2d without options
    d4rl: tuple[float, ...] = ()

    def __post_init__(self):
        if self.d4rl and not (len(self.d4rl) == 2 and self.d4rl[0] < self.d4rl[1]):
            raise ValueError(
                "d4rl must be two returns, the lower one first, such as -20.3 3234.3, "
                f"got {' '.join(map(str, self.d4rl))}"
            )
        if self.time_limit < -1:
            raise ValueError(
                "time_limit must be steps, -1 for the registered limit or 0 for none, "
                f"got {self.time_limit}"
            )
        within(self, 1, float("inf"), "stack")

    @property
    def source(self) -> Source:
        """What the environments are made from."""
        return Source(
            self.id, tuple(self.options), self.time_limit, tuple(self.parts), self.stack
        )

    @property
    def facts(self) -> Facts:
        """What is known of the environment; the first call makes one."""
        return self.source.facts

    @property
    def observation_space(self) -> gym.spaces.Box:
        return self.facts.view.box

    @property
    def frames(self) -> int:
        return self.facts.view.frames

    @property
    def action_space(self) -> gym.spaces.Discrete | gym.spaces.Box:
        return self.facts.actions.space

    @property
    def max_steps(self) -> int:
        return self.facts.max_steps

    @property
    def fps(self) -> int:
        return self.facts.fps

    @property
    def has_success(self) -> bool:
        return self.facts.reports_success or self.threshold is not None

    @property
    def threshold(self) -> float | None:
        """The return that makes an episode a success, unless the environment reports
        success itself."""
        if self.success_return is None:
            return self.facts.success_return
        return self.success_return

    @property
    def d4rl_returns(self) -> tuple[float, float] | None:
        if self.d4rl:
            low, high = self.d4rl
            return low, high
        if self.options:
            return None
        name, _, _ = self.id.rpartition("-v")
        return D4RL_RETURNS.get(name)

    @property
    def title(self) -> str:
        module, _, name = self.id.rpartition(":")
        if module.endswith(".py"):
            module = Path(module).stem
        parts = [part for part in (module, name) if part]
        return "-".join(parts).replace("/", "-")

    @property
    def defaults(self) -> dict[str, Any]:
        return suited(self.facts)

    def rows(
        self, generators: Sequence[np.random.Generator], rows_per_seed: int = 1
    ) -> GymRows:
        reads_infos = self.success_return is None
        reports_always = reads_infos and self.facts.reports_success
        return GymRows(
            self,
            self.source,
            generators,
            rows_per_seed,
            success_return=None if reports_always else self.threshold,
            reads_infos=reads_infos,
        )
