"""A mouse crosses an arena with occluders past a pursuing robot (BotEvade, Cellworld).

This is the environment of gymnasium-cellworld, rebuilt in numpy. Every 0.25 s the prey
chooses a destination in a hexagonal arena, and both agents follow shortest paths
between the occluders. The predator heads for where it last saw the prey, and for a
random cell once it has been there. Near a prey in sight it releases a puff of air,
which costs reward but does not end the episode; the episode ends when the prey reaches
the goal in the east.

The original simulator has faults that change what is learned: agents exceed their top
speed when their waypoint is far, and they pass through occluders; a predator at the end
of its path forgets a prey in sight; positions are assigned to cells on a grid of
pixels; a step takes 0.25 s or 0.275 s by rounding; and a predator that hides during a
cool-down is still observed. `dynamics` chooses between the original and the corrected
simulator.

Lengths are in units of the arena's diameter, which spans [0, 1] from west to east.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

import gymnasium as gym
import numpy as np

from curriculum.compiled import load
from curriculum.envs._base.native import Dynamics
from curriculum.envs._base.streams import Random
from curriculum.envs._cellworld.cells import Cellworld, cellworld
from curriculum.envs._cellworld.columns import (
    COLUMN,
    COLUMNS,
    NO_CELL,
    PREDATOR,
    PREY,
    Columns,
)
from curriculum.envs._cellworld.encounter import Encounter
from curriculum.envs._cellworld.lattice import (
    ARENA_APOTHEM,
    GOAL,
    OCCLUDER_APOTHEM,
    hexagon_distance,
)
from curriculum.envs._cellworld.observation import (
    OBSERVED,
    PREY_POSITION,
    LinearReward,
    observed,
)
from curriculum.envs._cellworld.pursuit import Pursuit
from curriculum.envs._cellworld.rules import (
    GOAL_POSITION,
    PREDATORS,
    PREY_SPEED,
    SECONDS,
    START_POSITION,
    STEP_SECONDS,
    SUBSTEPS,
)
from curriculum.envs._cellworld.stepping import Arena, advance, arena_of
from curriculum.envs._cellworld.worlds import occluded_cells
from curriculum.types import INFINITY, among, within

BINS = 24  # rows and columns of maps
STRIDE = 1.5 * PREY_SPEED * STEP_SECONDS  # from the prey to where a person steers it


@dataclass(kw_only=True)
class BotEvade(Dynamics):
    """Reach the goal in the east without being puffed at.

    An action names the prey's destination; observations are `OBSERVED` [N, 11]; states
    are `COLUMNS` [N, 29] float64. An episode is a success if the prey reaches the goal
    without a single puff."""

    # occluders: a published world, "random:SEED" or a list of cells such as "3,18,24"
    world: str = "21_05"
    # slow: 0.15 of the prey's speed; fast: as fast as the prey; equal: as fast, and
    # both turn slowly
    predator: Literal["slow", "fast", "equal"] = "slow"
    # original: the published simulator with its faults
    dynamics: Literal["corrected", "original"] = "corrected"
    # destinations: open cells, planning points, or any point of [0, 1]^2
    actions: Literal["all", "points", "continuous"] = "all"
    # each "field=multiplier" or "field=multiplier+offset"
    rewards: tuple[str, ...] = ("puffed=-1", "finished=1")
    hide_distance: bool = True  # observe a distance of 1 to a predator out of sight
    end_on_puff: bool = False  # end the episode at the first puff
    max_steps: int = 300  # steps after which an episode is truncated; 0: never

    fps: ClassVar[int] = 4  # real time
    counts: ClassVar[dict[str, int]] = {"captures": OBSERVED.index("puffed")}
    defaults: ClassVar[dict[str, str]] = {"planner": "tlppo", "learner": "iql"}

    def __post_init__(self) -> None:
        among(self, "predator", "dynamics", "actions")
        within(self, 0, INFINITY, "max_steps")
        occluded_cells(self.world)
        LinearReward.of(self.rewards)

    @property
    def observation_space(self) -> gym.spaces.Box:
        return gym.spaces.Box(-np.inf, np.inf, (len(OBSERVED),), np.float32)

    @property
    def action_space(self) -> gym.spaces.Discrete | gym.spaces.Box:
        if self.actions == "continuous":
            return gym.spaces.Box(0, 1, (2,), np.float32)
        return gym.spaces.Discrete(len(self.places))

    @cached_property
    def layout(self) -> Cellworld:
        """The arena with its occluders."""
        return cellworld(occluded_cells(self.world))

    @cached_property
    def places(self) -> np.ndarray:
        """The cells that discrete actions name, in order of the actions."""
        if self.actions == "points":
            return self.layout.points
        return self.layout.open

    def begin(self, rng: Random, rows: int) -> np.ndarray:
        """First states [N, 29]: the prey in the west facing east, the predator in a
        random start cell facing west."""
        spawn_draw, destination_draw = rng.random((rows, 2)).T
        columns = Columns.of(np.zeros((len(COLUMNS), rows)))
        agents = columns.agents
        spawn = self.layout.spawn
        if not len(spawn):
            spawn = self.layout.nearest(np.array([[0.5, 0.5]]))
        chosen = spawn[(spawn_draw * len(spawn)).astype(np.int64)]
        agents.position[:, PREDATOR] = self.layout.xy[chosen].T
        agents.position[:, PREY] = np.array(START_POSITION)[:, None]
        agents.heading[PREDATOR] = 180
        agents.waypoint[:] = NO_CELL
        agents.destination[:] = NO_CELL
        agents.pending[:] = NO_CELL
        self._encounter.update(columns, destination_draw, 0.0)
        return columns.array.T.copy()

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Random
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next states [N, 29], rewards [N] and terminated [N]. Draws one number for
        each row and sub-step."""
        before = state.copy()
        before[:, COLUMN["puffed"]] = 0
        before[:, COLUMN["prey_pending"]] = self._destination(action)
        draws = rng.random((len(state), SUBSTEPS + 1))
        after = self._advance(before, draws)
        columns = Columns.of(after.T)
        reward = self._reward(observed(columns, self.hide_distance))
        return after, reward, self._over(columns)

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [N, 11] float32 in the order of `OBSERVED`."""
        columns = Columns.of(state.T)
        fields = observed(columns, self.hide_distance)
        return np.ascontiguousarray(fields.T, np.float32)

    def success(self, state: np.ndarray) -> np.ndarray:
        """Whether the prey reached the goal without a puff, [N]."""
        finished = state[:, COLUMN["finished"]] > 0
        return finished & (state[:, COLUMN["puffs"]] == 0)

    def shortest_path(self, state: np.ndarray) -> np.ndarray:
        """Actions that lead straight to the goal, whatever the predator does: [N], or
        [N, 2] in [-1, 1]."""
        if self.actions == "continuous":
            action = (2 * self.layout.xy[GOAL] - 1).astype(np.float32)
            return np.tile(action, (len(state), 1))
        squared = ((self.layout.xy[self.places] - GOAL_POSITION) ** 2).sum(-1)
        return np.full(len(state), squared.argmin())

    def continuous(self) -> tuple["BotEvade", np.ndarray]:
        """The same world with box actions, and the centre of every cell that a discrete
        action names as a box action, [n, 2] in [-1, 1]."""
        if self.actions == "continuous":
            raise ValueError("the actions of this world are continuous already")
        centres = 2 * self.layout.xy[self.places] - 1
        return replace(self, actions="continuous"), centres.astype(np.float32)

    def steer(self, state: np.ndarray, right: int, down: int) -> np.ndarray | int:
        """The place nearest to where the prey can be after this step and half of the
        next one, so that it does not stop in between; without a direction, the nearest
        place."""
        columns = Columns.of(state[:, None])
        length = max(np.hypot(right, down), 1)
        direction = np.array([right, -down]) / length
        target = columns.agents.position[:, PREY, 0] + STRIDE * direction
        if self.actions == "continuous":
            return (2 * target - 1).clip(-1, 1).astype(np.float32)
        squared = ((self.layout.xy[self.places] - target) ** 2).sum(-1)
        return int(squared.argmin())

    @property
    def cells(self) -> tuple[int, int]:
        return BINS, BINS

    @cached_property
    def walls(self) -> np.ndarray:
        """Cells whose centre is outside the arena or in an occluder, [24, 24] bool."""
        row, column = np.indices(self.cells).reshape(2, -1) + 0.5
        xy = np.stack([column, BINS - row]) / BINS
        outside = hexagon_distance(xy[::-1] - 0.5) >= ARENA_APOTHEM
        offset = xy[:, :, None] - self.layout.occluder_centres.T[:, None]
        occluded = (hexagon_distance(offset) < OCCLUDER_APOTHEM).any(-1)
        return (outside | occluded).reshape(self.cells)

    def position(self, obs: np.ndarray) -> np.ndarray:
        x, y = obs[:, PREY_POSITION].T
        return np.stack([(1 - y) * BINS, x * BINS], -1)

    def draw(self, state: np.ndarray) -> np.ndarray:
        """A picture [632, 720, 3] uint8 of one state [29]: the prey is blue, with its
        path; what it sees is light.

        The predator is red, and pale while it is out of sight. The ring around it shows
        how far it puffs."""
        return self.draw_trail(state[None])

    def draw_trail(self, states: np.ndarray) -> np.ndarray:
        # here, not above: training never draws
        from curriculum.envs._cellworld.scene import Pose, draw_scene

        state = states[-1]
        columns = Columns.of(state[:, None])
        xy = columns.agents.position[..., 0]
        heading = columns.agents.heading[:, 0]
        return draw_scene(
            self.layout,
            predator=Pose(xy[:, PREDATOR], heading[PREDATOR]),
            prey=Pose(xy[:, PREY], heading[PREY]),
            visible=bool(columns.visible[0]),
            path=self._prey_path(columns),
            trail=Columns.of(states.T).agents.position[:, PREY].T,
        )

    @cached_property
    def _pursuit(self) -> Pursuit:
        ratios = PREDATORS[self.predator]
        gain = ratios.prey_gain
        corrected = self.dynamics == "corrected"
        return Pursuit(
            self.layout,
            top_speed=PREY_SPEED * np.array([[ratios.speed], [1]]),
            gain=gain * np.array([[ratios.turning], [1]]),
            capped=corrected,
            solid=corrected,
            exact=corrected,
        )

    @cached_property
    def _encounter(self) -> Encounter:
        return Encounter(self.layout, pursues=self.dynamics == "corrected")

    @cached_property
    def _arena(self) -> Arena:
        return arena_of(
            self._pursuit,
            self._encounter,
            end_on_puff=self.end_on_puff,
            by_clock=self.dynamics == "original",
        )

    @cached_property
    def _reward(self) -> LinearReward:
        return LinearReward.of(self.rewards)

    def _destination(self, action: np.ndarray) -> np.ndarray:
        """The cells that actions name, [N]."""
        if self.actions == "continuous":
            return self._pursuit.locate(np.asarray(action, np.float64))
        return self.places[action]

    def _advance(self, state: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """States [N, 29] after an environment step; `draws` is [N, SUBSTEPS + 1]."""
        kernels = load("curriculum.envs._cellworld.kernels", "BotEvade")
        if kernels is not None and type(self._encounter) is Encounter:
            after = np.array(state, order="C")
            if advance(kernels, self._arena, after, draws):
                return after
        columns = Columns.of(state.T.copy())
        self._simulate(columns, draws.T)
        if self.dynamics == "corrected":
            # sight was frozen in rows that were in a cool-down
            cooled = (columns.cooldown > 0) | (state[:, COLUMN["cooldown"]] > 0)
            self._encounter.look(columns, np.flatnonzero(cooled))
        return columns.array.T.copy()

    def _simulate(self, columns: Columns, draws: np.ndarray) -> None:
        """Take the sub-steps of an environment step in all rows until their episodes
        are over; `draws` is [SUBSTEPS + 1, N]."""
        original = self.dynamics == "original"
        rows = columns.array.shape[-1]
        end = columns.time + SUBSTEPS * SECONDS
        for substep in range(SUBSTEPS + original):
            running = ~self._over(columns)
            if original:  # its clock may or may not leave time for another sub-step
                running &= columns.time < end
            live = np.flatnonzero(running)
            if live.size == rows:
                self._substep(columns, draws[substep])
            elif live.size:
                part = Columns.of(np.take(columns.array, live, 1))
                self._substep(part, draws[substep, live])
                columns.array[:, live] = part.array

    def _substep(self, columns: Columns, draw: np.ndarray) -> None:
        self._pursuit.move(columns.agents)
        self._pursuit.navigate(columns.agents, columns.last_seen)
        np.add(columns.time, SECONDS, out=columns.time)
        self._encounter.update(columns, draw, SECONDS)

    def _over(self, columns: Columns) -> np.ndarray:
        """Whether episodes have ended, [N]."""
        over = columns.finished > 0
        if self.end_on_puff:
            over |= columns.puffed > 0
        return over

    def _prey_path(self, columns: Columns) -> np.ndarray:
        """Positions [k, 2] of the prey's waypoints in the first row."""
        cell = int(columns.agents.waypoint[PREY, 0])
        destination = int(columns.agents.destination[PREY, 0])
        path = []
        while cell != NO_CELL:
            path.append(self.layout.xy[cell])
            at_end = cell == destination
            cell = NO_CELL if at_end else int(self.layout.waypoint[cell, destination])
        return np.array(path)
