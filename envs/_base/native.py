"""Native worlds: batched numpy dynamics, the rows that step them, and copies for
planning.

The state of a native world is one array [N, S], so copying rows is copying an array,
and so is saving them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Protocol, runtime_checkable

import numpy as np

from curriculum.envs._base.actions import scale_actions, scaled_space
from curriculum.envs._base.streams import Random, Streams
from curriculum.types import Imagined, Rows, State, Step, World


class Dynamics(World, Protocol):
    """A native world. Its methods are pure functions of their arguments."""

    def begin(self, rng: Random, rows: int) -> np.ndarray:
        """First states [N, S] of N = `rows` episodes."""
        ...

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Random
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next states [N, S], rewards [N] float64 and terminated [N] bool; does not
        modify `state`.

        `action` is [N], or [N, A] within the bounds of `action_space`."""
        ...

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [N, *O] in a new array."""
        ...

    def success(self, state: np.ndarray) -> np.ndarray:
        """Whether the task is solved in these states, [N] bool."""
        ...

    def draw(self, state: np.ndarray) -> np.ndarray:
        """A picture [height, width, 3] uint8 of one state [S]."""
        ...

    def imagined(self) -> Dynamics:
        """The world that planners play in copies, such as one with unclipped rewards;
        its states and actions are the same."""
        return self

    def rows(
        self, generators: Sequence[np.random.Generator], rows_per_seed: int = 1
    ) -> NativeRows:
        return NativeRows(self, generators, rows_per_seed)


@runtime_checkable
class Grid(Dynamics, Protocol):
    """A native world whose states lie in the cells of a grid: runs draw maps of its
    visits and values."""

    @property
    def cells(self) -> tuple[int, int]:
        """Height and width, in cells."""
        ...

    @property
    def walls(self) -> np.ndarray:
        """Cells that are never entered, [height, width] bool."""
        ...

    def cell(self, state: np.ndarray) -> np.ndarray:
        """The cell of each state, [N] in row-major order of `cells`."""
        ...

    def states(self) -> np.ndarray:
        """States [n, S] that cover every cell evenly, walls included."""
        ...


@runtime_checkable
class Mapped(World, Protocol):
    """A world in a plane, whose observations tell where the agent is: runs draw maps of
    it in the course of training."""

    @property
    def cells(self) -> tuple[int, int]:
        """Height and width of the maps, in cells."""
        ...

    @property
    def walls(self) -> np.ndarray:
        """Cells that are not drawn, [height, width] bool."""
        ...

    def position(self, obs: np.ndarray) -> np.ndarray:
        """Rows and columns [n, 2] of observations [n, *O], in cells: the centre of the
        first cell is at 0.5.

        ValueError where observations of this kind do not tell them."""
        ...


@runtime_checkable
class Located(Grid, Protocol):
    """A grid whose observations tell the cell."""

    def cell_of(self, obs: np.ndarray) -> np.ndarray:
        """The cell of each observation [n, *O], as `cell` numbers them; ValueError
        where observations of this kind do not tell it."""
        ...


@runtime_checkable
class Enumerable(Dynamics, Protocol):
    """A native world whose states can be listed."""

    def states(self) -> np.ndarray:
        """All states, [n, S]."""
        ...

    def index(self, state: np.ndarray) -> np.ndarray:
        """The position of each state in `states()`, [N]."""
        ...


@runtime_checkable
class Navigable(Dynamics, Protocol):
    """A native world that knows the shortest path to its goal."""

    def shortest_path(self, state: np.ndarray) -> np.ndarray:
        """The first action of the shortest path from each state, [N] or [N, A]."""
        ...


@runtime_checkable
class Continuous(Dynamics, Protocol):
    """A native world with discrete actions that stand for those of a box."""

    def continuous(self) -> tuple[World, np.ndarray]:
        """The same world with box actions, and that of every discrete action, [n, A]
        float32 in [-1, 1]; ValueError where actions are a box already."""
        ...


@runtime_checkable
class Traced(Dynamics, Protocol):
    """A native world whose pictures show where the agent has been."""

    def draw_trail(self, states: np.ndarray) -> np.ndarray:
        """A picture [height, width, 3] uint8 of the last of the states [T, S] of an
        episode, with a line from the first one to it."""
        ...


@runtime_checkable
class Steerable(Dynamics, Protocol):
    """A native world in which a person acts by the arrow keys."""

    def steer(
        self, state: np.ndarray, right: int, down: int
    ) -> np.ndarray | int | None:
        """The action that goes from one state [S] in a direction of its picture: a
        number, or [A] in [-1, 1].

        `right` and `down` are -1, 0 or 1; None where both are 0 and the agent cannot
        stay."""
        ...


class NativeRows(Rows):
    """Rows of a native world."""

    def __init__(
        self,
        world: Dynamics,
        generators: Sequence[np.random.Generator],
        rows_per_seed: int = 1,
    ):
        self.world = world
        self.streams = Streams(generators, rows_per_seed)
        self.count = len(generators) * rows_per_seed
        self.world_action_space = world.action_space
        self.single_action_space = scaled_space(self.world_action_space)
        self.single_observation_space = world.observation_space

    def reset(self) -> np.ndarray:
        self.state = self.world.begin(self.streams, self.count)
        self.time = np.zeros(self.count, np.int64)
        self.obs = self.world.observe(self.state)
        return self.obs

    def step(self, action: np.ndarray) -> Step:
        return self.step_unscaled(scale_actions(action, self.world_action_space))

    def step_unscaled(self, action: np.ndarray) -> Step:
        """Take one step in every row, `action` [N] or [N, A] within the world's own
        bounds."""
        world = self.world
        self.state, reward, terminated = world.step(self.state, action, self.streams)
        self.time += 1
        truncated = self._truncated(terminated)
        success = world.success(self.state)
        next_obs = world.observe(self.state)
        self.obs = next_obs
        [finished] = (terminated | truncated).nonzero()
        if finished.size:
            self.last_state = self.state.copy()
            self.obs = next_obs.copy()
            self._restart(finished)
        return Step(
            obs=self.obs,
            reward=reward.astype(np.float32),
            terminated=terminated,
            truncated=truncated,
            next_obs=next_obs,
            success=success,
        )

    def _truncated(self, terminated: np.ndarray) -> np.ndarray:
        limit = self.world.max_steps
        if not limit:
            return np.zeros(self.count, bool)
        return (self.time >= limit) & ~terminated

    def _restart(self, finished: np.ndarray) -> None:
        """Start an episode in the rows with these indices."""
        streams = self.streams.of(finished)
        self.state[finished] = self.world.begin(streams, finished.size)
        self.time[finished] = 0
        self.obs[finished] = self.world.observe(self.state[finished])

    def save(self) -> State:
        generators = [g.bit_generator.state for g in self.streams.generators]
        return {
            "state": self.state.copy(),
            "time": self.time.copy(),
            "generators": generators,
        }

    def load(self, saved: State) -> np.ndarray:
        self.state = saved["state"].copy()
        self.time = saved["time"].copy()
        pairs = zip(self.streams.generators, saved["generators"], strict=True)
        for generator, state in pairs:
            generator.bit_generator.state = state
        self.obs = self.world.observe(self.state)
        return self.obs

    def rest(self, rows: np.ndarray) -> None:
        """Stepping all rows in one batch is as fast as stepping some: begin anew only
        where a state is not finite, which a world may not survive."""
        broken = np.flatnonzero(rows & ~np.isfinite(self.state).all(1))
        if broken.size:
            self._restart(broken)

    def simulator(self) -> NativeSimulator:
        return NativeSimulator(self)

    def picture(self, row: int) -> np.ndarray:
        return self.world.draw(self.state[row])

    def last_picture(self, row: int) -> np.ndarray:
        return self.world.draw(self.last_state[row])


class NativeSimulator:
    """Copies of native rows for planning."""

    def __init__(self, rows: NativeRows):
        self.rows = rows
        self.world = rows.world.imagined()
        self.action_space = rows.world_action_space

    def states(self, rows: np.ndarray) -> np.ndarray:
        return self.rows.state[rows].copy()

    def step(self, state: np.ndarray, action: np.ndarray, rng: Random) -> Imagined:
        action = scale_actions(action, self.action_space)
        return Imagined(*self.world.step(state, action, rng))

    def rollout(
        self, state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return rollout(self.step, state, actions, rng)

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Implements `ObservableSimulator`."""
        return self.rows.world.observe(state)

    def keys(self, state: np.ndarray) -> list[bytes]:
        """Implements `KeyedSimulator`: a state is all that a native world consists
        of."""
        return [digest(numbers.tobytes()) for numbers in state]


def digest(data: bytes) -> bytes:
    """A key of 16 bytes, different for different data."""
    return blake2b(data, digest_size=16).digest()


def rollout(
    step: Callable[[np.ndarray, np.ndarray, np.random.Generator], Imagined],
    state: np.ndarray,
    actions: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Implement `Simulator.rollout` by repeated calls of `Simulator.step`; copies that
    have ended are not stepped."""
    horizon = actions.shape[1]
    reward = np.zeros((len(state), horizon))
    ended = np.zeros(len(state), bool)
    state = state.copy()
    for t in range(horizon):
        running = np.flatnonzero(~ended)
        if not running.size:
            break
        imagined = step(state[running], actions[running, t], rng)
        state[running] = imagined.state
        reward[running, t] = imagined.reward
        ended[running] = imagined.terminated
    return reward, ended, state
