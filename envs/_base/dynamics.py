"""Worlds and their rows: what all have in common, and the native ones, which are
batched numpy dynamics.

A world is a pure description. The state of a native one is one array [N, S], so a copy
is a copy and a checkpoint is an array; planners that search step copies of it
(`curriculum.envs._base.simulate`), and its rows step the real thing.

Box actions lie in [-1, 1] everywhere in this package but inside a world, which takes
them within its own bounds. `Rows.step` is where the one becomes the other; who steps
copies of a world asks `native` for the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np

if TYPE_CHECKING:
    from curriculum.envs._base.simulate import Simulator


class Random(Protocol):
    """The one draw a world may make: a `numpy.random.Generator`, or `Streams` where
    rows belong to different seeds."""

    def random(self, size: tuple[int, ...]) -> np.ndarray:
        """Uniform numbers in [0, 1); the first axis of `size` counts rows."""
        ...


class World(Protocol):
    """What a run trains in: a native world, or one that makes rows of its own
    (`rows(generators, rows_each)`).

    It may also have `defaults`, the names of the planner and the learner that suit it;
    `frames`, how many pictures an observation stacks; `fps`, to be shown at; `title`,
    the name of its folder of runs; and `has_success`, false where nothing tells whether
    the task is done; and `evaluated()`, the world it is measured in, where that is
    another."""

    @property
    # an episode is truncated after so many steps; 0: never
    def max_steps(self) -> int: ...
    @property
    def observation_space(self) -> gym.spaces.Box: ...
    @property
    # with the world's own bounds
    def action_space(self) -> gym.spaces.Discrete | gym.spaces.Box: ...


class Dynamics(World, Protocol):
    """A batched native world. Everything is a function of its arguments; nothing is
    remembered between calls."""

    def begin(self, rng: Random, rows: int) -> np.ndarray:
        """First states [N, S]."""
        ...

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Random
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next states [N, S], rewards [N] float64 and terminated [N] bool; `state` is
        left as it was.

        `action` is [N], or [N, A] within the bounds of `action_space`."""
        ...

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [N, *O], freshly allocated."""
        ...

    def success(self, state: np.ndarray) -> np.ndarray:
        """Whether the task is done in these states, [N] bool."""
        ...

    def draw(self, state: np.ndarray) -> np.ndarray:
        """A picture [height, width, 3] uint8 of one state [S]."""
        ...


class Step(NamedTuple):
    """What one step of N rows brought. Ended and cut short stay apart."""

    # [N, *O] to act on next: the first of a new episode where the last one is over
    obs: np.ndarray
    reward: np.ndarray  # [N] float32
    terminated: np.ndarray  # [N] bool
    truncated: np.ndarray  # [N] bool
    # [N, *O] what the action led to: the true last observation where the episode is
    # over
    next_obs: np.ndarray
    success: np.ndarray  # [N] bool


class Streams:
    """Several seeds' generators behind one draw: rows in order of seeds, `rows_each` a
    seed.

    A seed's rows get the numbers they would get if the seed were alone."""

    def __init__(self, generators: Sequence[np.random.Generator], rows_each: int):
        self.generators, self.rows_each = list(generators), rows_each

    def random(self, size: tuple[int, ...]) -> np.ndarray:
        """Uniform numbers [N, ...]: every seed draws for its own rows."""
        rest = size[1:]
        return np.concatenate(
            [g.random((self.rows_each, *rest)) for g in self.generators]
        )

    def of(self, rows: np.ndarray) -> RowStreams:
        """The draw for a few of the rows, given by sorted index."""
        return RowStreams(
            self.generators,
            np.bincount(rows // self.rows_each, minlength=len(self.generators)),
        )


class RowStreams:
    """Draws for `counts[p]` rows of each generator p."""

    def __init__(self, generators: Sequence[np.random.Generator], counts: np.ndarray):
        self.generators, self.counts = generators, counts

    def random(self, size: tuple[int, ...]) -> np.ndarray:
        """Uniform numbers [sum(counts), ...]."""
        rest = size[1:]
        return np.concatenate(
            [
                g.random((n, *rest))
                for g, n in zip(self.generators, self.counts, strict=True)
                if n
            ]
        )


def native(
    action: np.ndarray, space: gym.spaces.Discrete | gym.spaces.Box
) -> np.ndarray:
    """Box actions [N, A] in [-1, 1] in the units and bounds of `space`; discrete ones
    as they are."""
    if isinstance(space, gym.spaces.Discrete):
        return action
    centre, reach = (space.high + space.low) / 2, (space.high - space.low) / 2
    return np.clip(centre + reach * action, space.low, space.high)


class Rows(Protocol):
    """N rows of one world, equally many for each seed. A row whose episode is over
    starts again in the same step."""

    world: Any  # what they are rows of
    count: int  # N
    single_observation_space: gym.spaces.Box
    single_action_space: gym.spaces.Discrete | gym.spaces.Box  # box actions in [-1, 1]
    obs: np.ndarray  # [N, *O] to act on now
    time: np.ndarray  # [N] steps since each episode began

    def reset(self) -> np.ndarray:
        """Start every row; returns observations [N, *O]."""
        ...

    def step(self, action: np.ndarray) -> Step:
        """Take one step in every row, `action` [N] or [N, A] in [-1, 1]."""
        ...

    def save(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here: nested dicts and lists of
        arrays and plain values."""
        ...

    def load(self, saved: dict[str, Any]) -> np.ndarray:
        """Go back to what `save` returned; gives the observations [N, *O] to act on."""
        ...

    def rest(self, rows: np.ndarray) -> None:
        """Tell which rows, [N] bool, nobody will look at again before `reset`: they
        need not be stepped."""
        ...

    def simulator(self) -> Simulator:
        """Copies of these rows to think ahead in; ValueError where the world's state
        cannot be copied."""
        ...

    def picture(self, row: int) -> np.ndarray:
        """What a row looks like now, [height, width, 3] uint8."""
        ...


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
        from curriculum.envs._base.simulate import NativeSimulator

        return NativeSimulator(self)

    def picture(self, row: int) -> np.ndarray:
        """What a row looks like now, [height, width, 3] uint8."""
        return self.world.draw(self.state[row])
