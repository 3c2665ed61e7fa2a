"""What may happen on a prey's way from planning point to planning point: a predator
somewhere chases it on sight.

Both are in cells and move once an environment step; turning costs them time, as it does
in the world."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from curriculum.envs._cellworld.cells import CELLS, GOAL, Cellworld
from curriculum.envs._cellworld.pursuit import AIM, NONE, PAIRED, Pursuit

SIDE = 0.046875  # between the middles of neighbouring cells
SURE, SAFE = (
    0.015,
    0.045,
)  # beyond the puff radius: up to where the middles of two cells count as too near, and not at all
LONGEST = 40  # steps that any way takes


class Walk(NamedTuple):
    """Where m walks have got to, in K scenarios each."""

    cell: np.ndarray  # [m] of the prey
    xy: np.ndarray  # [m, 2] its place
    heading: np.ndarray  # [m] degrees
    time: np.ndarray  # [m] steps since the root
    over: np.ndarray  # [m] bool, at the goal or out of time
    predator: np.ndarray  # [m, K] its cell
    aim: np.ndarray  # [m, K] the cell it goes to: where it last saw the prey
    facing: np.ndarray  # [m, K] degrees
    progress: np.ndarray  # [m, K] share of the way to the next cell it has made
    free: np.ndarray  # [m, K] probability that the prey is not caught


@dataclass(frozen=True, eq=False, kw_only=True)
class Scenarios:
    """The tables of one world. Options are the planning points, then the goal, then to
    stay for a step."""

    cells: Cellworld
    goal: np.ndarray  # [2]
    reach: float  # of the goal
    puff: float  # radius within which the predator catches
    speed: float  # of the prey per second
    gain: float  # degrees the prey turns per second for each degree off
    predator_speed: float
    predator_gain: float
    substeps: int  # of an environment step
    seconds: float  # in an environment step
    original: bool = False  # the prey moves with the faults of the original simulator

    @cached_property
    def targets(self) -> np.ndarray:
        """The cell each option leads to, [A]; -1 for staying."""
        return np.append(self.cells.points, [GOAL, -1])

    @cached_property
    def allowed(self) -> np.ndarray:
        """Options of each cell, [331, A] bool: points with no other point before them,
        the goal, and to stay."""
        direct = self.cells.routes.direct[:, self.cells.points] & (
            self.cells.points != GOAL
        )
        # that would be to stay
        direct[self.cells.points, np.arange(len(self.cells.points))] = False
        return np.concatenate([direct, self.cells.free[:, None].repeat(2, 1)], -1)

    @cached_property
    def cost(self) -> np.ndarray:
        """Distance of each cell from the goal, [331]."""
        return np.hypot(*(self.cells.xy - self.goal).T)

    @cached_property
    def danger(self) -> np.ndarray:
        """How likely a predator catches a prey at once, [331 * 331] float32 at predator
        * 331 + prey.

        Occluders do not count: they are hardly ever between two that are so near."""
        apart = np.hypot(*(self.cells.xy[:, None] - self.cells.xy).transpose(2, 0, 1))
        return (
            np.clip((self.puff + SAFE - apart) / (SAFE - SURE), 0, 1)
            .astype(np.float32)
            .ravel()
        )

    @cached_property
    def seen(self) -> np.ndarray:
        """Whether predator and prey see each other, [331 * 331] bool."""
        return self.cells.visible.ravel()

    @cached_property
    def bearing(self) -> np.ndarray:
        """Heading from each cell on the way to each other, [331 * 331] float32
        degrees."""
        first = np.where(self.cells.leg < 0, np.arange(CELLS)[:, None], self.cells.leg)
        gap = self.cells.xy[first] - self.cells.xy[:, None]
        return (
            np.degrees(np.arctan2(gap[..., 1], gap[..., 0])).astype(np.float32).ravel()
        )

    @cached_property
    def ahead(self) -> np.ndarray:
        """The cell so many cells ahead on the way to another, [H * 331 * 331] at (cells
        * 331 + from) * 331 + to."""
        source, target = np.nonzero(self.cells.next_hop >= 0)
        tables = [np.arange(CELLS)[:, None].repeat(CELLS, 1)]
        for hops in range(1, int(self.predator_speed * self.seconds / SIDE) + 2):
            tables.append(tables[0].copy())
            tables[-1][source, target] = self.cells.nearest(
                self._along(source, target, hops * SIDE)
            )
        return np.stack(tables).ravel()

    @cached_property
    def pace(self) -> np.ndarray:
        """Cells that a predator goes in a step, by the whole degrees it is off at its
        beginning, [181] float32."""
        off = np.arange(181.0)
        lost = delay(off, self.predator_gain) - delay(
            off * (1 - self.turned), self.predator_gain
        )
        return ((self.seconds - lost) * self.predator_speed / SIDE).astype(np.float32)

    @cached_property
    def turned(self) -> float:
        """Share of its heading error that a predator makes good in a step."""
        return 1 - float(np.exp(-self.predator_gain * self.seconds))

    @cached_property
    def ways(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cells the prey is in after each step on the way of an option, [331, A, S + 1]
        from the start on.

        Also how many steps that takes, and whether it ends at the goal, [331, A] both:
        what moves it is the world."""
        source, option = np.nonzero(self.allowed[:, :-1])
        target, real = self.targets[option], not self.original
        top, gain = np.full((2, 1), self.speed), np.full((2, 1), self.gain)
        pursuit = Pursuit(self.cells, top, gain, capped=real, solid=real, exact=real)
        # two share a column of the pairs that a pursuit moves
        agents = np.zeros((len(PAIRED), len(source)))
        agents[:2], agents[2] = (
            self.cells.xy[source].T,
            self.bearing[source * CELLS + target],
        )
        agents[5:7], agents[7] = NONE, target
        live, way = np.arange(len(source)), [source]
        steps, ended = np.zeros(len(source), np.int64), np.zeros(len(source), bool)
        while live.size and len(way) < LONGEST:
            if live.size % 2:
                live, agents = (
                    np.append(live, live[-1]),
                    np.append(agents, agents[:, -1:], -1),
                )
            pair = np.ascontiguousarray(agents).reshape(len(PAIRED), 2, -1)
            for _ in range(self.substeps):
                pursuit.navigate(pair, np.zeros((2, live.size // 2)))
                pursuit.move(pair)
            agents = pair.reshape(len(PAIRED), -1)
            way.append(way[-1].copy())
            way[-1][live], steps[live] = self.cells.nearest(agents[:2].T), len(way) - 1
            ended[live] = np.hypot(*(agents[:2].T - self.goal).T) <= self.reach
            left = np.hypot(*(agents[:2].T - self.cells.xy[target[live]]).T)
            on = ~ended[live] & (left >= self.speed * self.seconds / 3)
            live, agents = live[on], agents[:, on]
        path = np.tile(
            np.arange(CELLS)[:, None, None], (1, len(self.targets), len(way))
        )
        count, end = np.ones(path.shape[:2], np.int64), np.zeros(path.shape[:2], bool)
        path[source, option], count[source, option], end[source, option] = (
            np.stack(way, -1),
            steps,
            ended,
        )
        return path, count, end

    def walk(
        self, start: Walk, option: np.ndarray, depth: int, weights: tuple[float, float]
    ) -> tuple[Walk, np.ndarray]:
        """Follow options [m] until `depth` steps since the root are over; returns the
        ends and the rewards [m].

        `weights` are the rewards of a step at distance 1 from the goal, and of being
        caught."""
        path, steps, ends = self.ways
        cell, time = start.cell, start.time
        wait = self._wait(start, option)
        whole = steps[cell, option] + wait
        length = np.minimum(whole, depth - time)
        reward = np.zeros(len(cell))
        states = [x.copy() for x in start[5:]]
        for s in range(int(length.max(initial=0))):
            on = np.flatnonzero(length > s)
            everyone = on.size == len(cell)
            at = path[cell[on], option[on], np.maximum(s + 1 - wait[on], 0)]
            moved, caught = self._chase(
                at[:, None], *(x if everyone else x[on] for x in states)
            )
            for x, y in zip(states, moved, strict=True):
                x[on] = y
            reward[on] += weights[0] * self.cost[at] + weights[1] * caught
        last, before = (
            path[cell, option, np.maximum(length - wait - back, 0)] for back in (0, 1)
        )
        heading = np.where(
            last == before, start.heading, self.bearing[before * CELLS + last]
        )
        xy = np.where(
            (self.targets[option] < 0)[:, None], start.xy, self.cells.xy[last]
        )
        over = (ends[cell, option] & (length == whole)) | (time + length >= depth)
        return Walk(last, xy, heading, time + length, over, *states), reward

    def _chase(
        self,
        prey: np.ndarray,
        predator: np.ndarray,
        aim: np.ndarray,
        facing: np.ndarray,
        progress: np.ndarray,
        free: np.ndarray,
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Move predators by a step, once the prey is in the cells [m, 1]; returns them
        and who is caught, [m]."""
        pair = predator * CELLS + prey
        harm = self.danger.take(pair)  # they may meet in passing
        aim = np.where(self.seen.take(pair), prey, aim)
        way = predator * CELLS + aim
        off = self.bearing.take(way) - facing
        off -= 360 * np.rint(off / 360)
        progress = progress + self.pace.take(np.abs(off).astype(np.intp))
        hops = progress.astype(np.intp)
        predator = self.ahead.take(hops * CELLS**2 + way)
        harm = free * np.maximum(harm, self.danger.take(predator * CELLS + prey))
        return (
            predator,
            aim,
            facing + self.turned * off,
            progress - hops,
            free - harm,
        ), harm.mean(-1)

    def _wait(self, start: Walk, option: np.ndarray) -> np.ndarray:
        """Steps [m] lost by turning towards the first waypoint."""
        target = self.targets[option]
        first = self.cells.leg[start.cell, np.where(target < 0, start.cell, target)]
        x, y = (self.cells.xy[first] - start.xy).T
        off = np.degrees(np.arctan2(y, x)) - start.heading
        off -= 360 * np.rint(off / 360)
        still = (target < 0) | (np.hypot(x, y) < SIDE / 4)
        return np.where(still, 0, np.rint(delay(off, self.gain) / self.seconds)).astype(
            np.int64
        )

    def _along(
        self, source: np.ndarray, target: np.ndarray, distance: float
    ) -> np.ndarray:
        """Points [n, 2] at this distance from the cells `source` on the ways to
        `target`."""
        xy, here, left = self.cells.xy[source], source, np.full(len(source), distance)
        while True:
            waypoint = self.cells.leg[here, target]
            gap = self.cells.xy[waypoint] - xy
            length = np.hypot(*gap.T)
            passing = (left >= length) & (here != target)
            if not passing.any():
                return (
                    xy + gap * np.clip(left / np.maximum(length, 1e-9), 0, 1)[:, None]
                )
            xy = np.where(passing[:, None], self.cells.xy[waypoint], xy)
            here, left = (
                np.where(passing, waypoint, here),
                np.where(passing, left - length, left),
            )


def delay(degrees: np.ndarray, gain: float) -> np.ndarray:
    """Seconds lost by turning so far at a speed of 1 / (1 + (error / 8)^2) of the top,
    as the error dies away."""
    return np.log1p((degrees / AIM) ** 2) / (2 * gain)
