"""The prey's options: the paths to planning points and to the goal, and to stay."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from curriculum.envs._cellworld.cells import Cellworld
from curriculum.envs._cellworld.columns import AGENT_COLUMNS, NO_CELL, Agents
from curriculum.envs._cellworld.lattice import CELLS, GOAL, SPACING
from curriculum.envs._cellworld.pursuit import Pursuit
from curriculum.envs._cellworld.rules import (
    GOAL_POSITION,
    GOAL_RADIUS,
    PREY_SPEED,
    STEP_SECONDS,
    SUBSTEPS,
)
from curriculum.planners._tlppo.turning import bearings, turning_delay, wrap

# selects rollouts from arrays [m, ...], or options from the arrays of a tree
Index = np.ndarray | tuple[np.ndarray, ...]

LONGEST = 40  # environment steps that a path may take


class Prey(NamedTuple):
    """The prey in m rollouts."""

    cell: np.ndarray  # [m]
    xy: np.ndarray  # [m, 2]
    heading: np.ndarray  # [m] degrees
    time: np.ndarray  # [m] steps since the root
    over: np.ndarray  # [m] bool, at the goal or as deep as the search goes

    def at(self, index: Index) -> "Prey":
        """The prey of some of the rollouts."""
        return Prey(*[column[index] for column in self])

    def put(self, index: Index, others: "Prey") -> None:
        """Overwrite the prey of some of the rollouts."""
        for column, values in zip(self, others, strict=True):
            column[index] = values


class Paths(NamedTuple):
    """Where the prey is on its way from each cell to the target of each option."""

    cell: np.ndarray  # [331, A, S + 1] after each environment step, from the start on
    steps: np.ndarray  # [331, A] steps until the target is reached
    at_goal: np.ndarray  # [331, A] bool, whether that is within the goal


@dataclass(frozen=True, eq=False, kw_only=True)
class Options:
    """The A options of one world: each planning point, then the goal, then to stay for
    one step.

    The prey starts and ends in the centres of cells; its paths are simulated by the
    world's own dynamics."""

    cells: Cellworld
    gain: float  # turning gain of the prey, degrees per second and degree of error
    original: bool = False  # whether the world has the original's dynamics

    @cached_property
    def targets(self) -> np.ndarray:
        """The cell that each option leads to, [A]; NO_CELL for staying."""
        return np.append(self.cells.points, [GOAL, NO_CELL])

    @property
    def goal(self) -> int:
        """The option that leads to the goal."""
        return len(self.targets) - 2

    @cached_property
    def allowed(self) -> np.ndarray:
        """Options of each cell, [331, A] bool: the planning points that it reaches
        without passing another one, the goal and to stay."""
        points = self.cells.points
        direct = self.cells.routes.direct[:, points] & (points != GOAL)
        direct[points, np.arange(len(points))] = False  # that would be to stay
        goal_and_stay = self.cells.free[:, None].repeat(2, 1)
        return np.concatenate([direct, goal_and_stay], -1)

    @cached_property
    def goal_distance(self) -> np.ndarray:
        """Distance of each cell from the goal, [331]."""
        return np.hypot(*(self.cells.xy - GOAL_POSITION).T)

    @cached_property
    def paths(self) -> Paths:
        """The paths of all allowed options; elsewhere the prey stays for one step."""
        allowed_but_stay = self.allowed[:, :-1]
        source, option = np.nonzero(allowed_but_stay)
        traced, traced_steps, traced_at_goal = self._trace(source, self.targets[option])
        everywhere = np.arange(CELLS)[:, None, None]
        shape = (CELLS, len(self.targets))
        cell = np.tile(everywhere, (1, len(self.targets), traced.shape[-1]))
        steps = np.ones(shape, np.int64)
        at_goal = np.zeros(shape, bool)
        cell[source, option] = traced
        steps[source, option] = traced_steps
        at_goal[source, option] = traced_at_goal
        return Paths(cell, steps, at_goal)

    def trip(self, prey: Prey, option: np.ndarray, depth: int) -> "Trip":
        """The trips of these prey along options [m], cut off `depth` steps after the
        root."""
        wait = self._wait(prey, option)
        whole = self.paths.steps[prey.cell, option] + wait
        length = np.minimum(whole, depth - prey.time)
        return Trip(self, prey, option, wait, whole, length, depth)

    def _wait(self, prey: Prey, option: np.ndarray) -> np.ndarray:
        """Steps [m] lost by turning towards the first waypoint."""
        target = self.targets[option]
        staying = target < 0
        first = self.cells.waypoint[prey.cell, np.where(staying, prey.cell, target)]
        dx, dy = (self.cells.xy[first] - prey.xy).T
        error = wrap(np.degrees(np.arctan2(dy, dx)) - prey.heading)
        steps = np.rint(turning_delay(error, self.gain) / STEP_SECONDS)
        in_place = staying | (np.hypot(dx, dy) < SPACING / 4)
        return np.where(in_place, 0, steps).astype(np.int64)

    def _trace(
        self, source: np.ndarray, target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Simulate prey from cells to cells, [n] both: their cells after each step,
        [n, S + 1], the steps they take, [n], and whether they end at the goal, [n]."""
        array = self._departing(source, target)
        live = np.arange(len(source))
        path = [source]
        steps = np.zeros(len(source), np.int64)
        at_goal = np.zeros(len(source), bool)
        while live.size and len(path) < LONGEST:
            if live.size % 2:  # they are simulated in pairs: double the last one
                live = np.append(live, live[-1])
                array = np.append(array, array[:, -1:], -1)
            xy = self._step_in_pairs(array)  # [n, 2]
            path.append(path[-1].copy())
            path[-1][live] = self.cells.nearest(xy)
            steps[live] = len(path) - 1
            at_goal[live] = np.hypot(*(xy - GOAL_POSITION).T) <= GOAL_RADIUS
            left = np.hypot(*(xy - self.cells.xy[target[live]]).T)
            going = ~at_goal[live] & (left >= PREY_SPEED * STEP_SECONDS / 3)
            live = live[going]
            array = np.ascontiguousarray(array[:, going])
        return np.stack(path, -1), steps, at_goal

    def _departing(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """The state [10, n] of prey in the centres of cells that face the path to their
        targets, see `Agents`."""
        array = np.zeros((len(AGENT_COLUMNS), len(source)))
        prey = Agents.of(array)
        prey.position[:] = self.cells.xy[source].T
        prey.heading[:] = bearings(self.cells)[source * CELLS + target]
        prey.waypoint[:] = NO_CELL
        prey.destination[:] = NO_CELL
        prey.pending[:] = target
        return array

    def _step_in_pairs(self, array: np.ndarray) -> np.ndarray:
        """Simulate prey [10, n] for an environment step, in place, each two as if they
        were predator and prey; returns their positions [n, 2]."""
        agents = Agents.of(array.reshape(len(AGENT_COLUMNS), 2, -1))
        nothing_seen = np.zeros((2, array.shape[-1] // 2))
        for _ in range(SUBSTEPS):
            self._pursuit.navigate(agents, nothing_seen)
            self._pursuit.move(agents)
        return agents.flat.position.T

    @cached_property
    def _pursuit(self) -> Pursuit:
        corrected = not self.original
        return Pursuit(
            self.cells,
            top_speed=np.full((2, 1), PREY_SPEED),
            gain=np.full((2, 1), self.gain),
            capped=corrected,
            solid=corrected,
            exact=corrected,
        )


@dataclass(frozen=True, eq=False)
class Trip:
    """m prey on their way along an option each."""

    options: Options
    start: Prey
    option: np.ndarray  # [m]
    wait: np.ndarray  # [m] steps spent on turning before the way begins
    whole: np.ndarray  # [m] steps that the option takes
    length: np.ndarray  # [m] steps taken: fewer where the search ends before
    depth: int  # of the search, in steps since the root

    def cells(self) -> np.ndarray:
        """Cells of the prey after each step of the longest trip, [m, S]; of no meaning
        after the end of a shorter one."""
        paths = self.options.paths.cell
        longest = int(self.length.max(initial=0))
        step = np.arange(1, longest + 1)
        walked = np.clip(step - self.wait[:, None], 0, paths.shape[-1] - 1)
        return paths[self.start.cell[:, None], self.option[:, None], walked]

    def end(self) -> Prey:
        """The prey at the end of their trips."""
        start = self.start
        cells = self.options.cells
        paths = self.options.paths
        walked = self.length - self.wait
        last = paths.cell[start.cell, self.option, np.maximum(walked, 0)]
        before = paths.cell[start.cell, self.option, np.maximum(walked - 1, 0)]
        bearing = bearings(cells)[before * CELLS + last]
        staying = self.options.targets[self.option] < 0
        time = start.time + self.length
        arrived = paths.at_goal[start.cell, self.option] & (self.length == self.whole)
        return Prey(
            cell=last,
            xy=np.where(staying[:, None], start.xy, cells.xy[last]),
            heading=np.where(last == before, start.heading, bearing),
            time=time,
            over=arrived | (time >= self.depth),
        )
