"""Rows of native worlds, and copies of them for planners that think ahead."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from curriculum.envs._base.streams import Streams
from curriculum.envs._base.world import Dynamics, native
from curriculum.types import Imagined, Simulator, Step


class NativeRows:
    """Rows of a native world."""

    def __init__(
        self,
        world: Dynamics,
        generators: Sequence[np.random.Generator],
        rows_each: int = 1,
    ):
        self.world = world
        self.streams = Streams(generators, rows_each)
        self.count = len(generators) * rows_each
        self.single_observation_space = world.observation_space
        self.single_action_space = self._native_space = world.action_space
        if isinstance(self._native_space, gym.spaces.Box):
            if not self._native_space.is_bounded():
                raise ValueError(
                    f"box actions need finite bounds, to be scaled from [-1, 1]; got {self._native_space}"
                )
            self.single_action_space = gym.spaces.Box(
                -1, 1, self._native_space.shape, np.float32
            )

    def reset(self) -> np.ndarray:
        """Start every row; returns observations [N, *O]."""
        self.state = self.world.begin(self.streams, self.count)
        self.time = np.zeros(self.count, np.int64)
        self.obs = self.world.observe(self.state)
        return self.obs

    def step(self, action: np.ndarray) -> Step:
        """Take one step in every row, `action` [N] or [N, A] in [-1, 1]."""
        return self.step_native(native(action, self._native_space))

    def step_native(self, action: np.ndarray) -> Step:
        """Take one step in every row, `action` [N] or [N, A] within the world's own
        bounds."""
        self.state, reward, terminated = self.world.step(
            self.state, action, self.streams
        )
        self.time += 1
        limit = self.world.max_steps
        truncated = (
            (self.time >= limit) & ~terminated if limit else np.zeros(self.count, bool)
        )
        success = self.world.success(self.state)
        next_obs = self.obs = self.world.observe(self.state)
        over = np.flatnonzero(terminated | truncated)
        if over.size:
            self.state[over] = self.world.begin(self.streams.of(over), over.size)
            self.time[over] = 0
            self.obs = next_obs.copy()
            self.obs[over] = self.world.observe(self.state[over])
        return Step(
            self.obs,
            reward.astype(np.float32),
            terminated,
            truncated,
            next_obs,
            success,
        )

    def save(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here."""
        generators = [g.bit_generator.state for g in self.streams.generators]
        return {
            "state": self.state.copy(),
            "time": self.time.copy(),
            "generators": generators,
        }

    def load(self, saved: dict[str, Any]) -> np.ndarray:
        """Go back to what `save` returned; gives the observations [N, *O] to act on."""
        self.state, self.time = saved["state"].copy(), saved["time"].copy()
        for generator, state in zip(
            self.streams.generators, saved["generators"], strict=True
        ):
            generator.bit_generator.state = state
        self.obs = self.world.observe(self.state)
        return self.obs

    def rest(self, rows: np.ndarray) -> None:
        """Step them all the same: it costs nothing in a batch."""

    def simulator(self) -> Simulator:
        """Copies of these rows to think ahead in."""
        return NativeSimulator(self)

    def picture(self, row: int) -> np.ndarray:
        """What a row looks like now, [height, width, 3] uint8."""
        return self.world.draw(self.state[row])


class NativeSimulator:
    """Copies of native rows: their state is an array already."""

    def __init__(self, rows: NativeRows):
        self.rows, self.world, self.space = rows, rows.world, rows.world.action_space

    def states(self, rows: np.ndarray) -> np.ndarray:
        return self.rows.state[rows].copy()

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: np.random.Generator
    ) -> Imagined:
        return Imagined(*self.world.step(state, native(action, self.space), rng))

    def rollout(
        self, state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        reward, ended = np.zeros(actions.shape[:2]), np.zeros(len(state), bool)
        state = state.copy()
        for t in range(actions.shape[1]):
            now = np.flatnonzero(~ended)
            if not now.size:
                break
            state[now], reward[now, t], ended[now] = self.step(
                state[now], actions[now, t], rng
            )
        return reward, ended, state
