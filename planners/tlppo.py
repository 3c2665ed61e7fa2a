"""Tree search over planning points against a belief map of the unseen predator (TLPPO,
Cellworld project).

It differs from the published planner in what a plan meets: not a still map, but
predators drawn from it that go on, chase the prey on sight and turn as slowly as the
real ones. The tree is made anew for every decision."""

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np

from curriculum.envs._cellworld.cells import CELLS, GOAL, Cellworld
from curriculum.envs._cellworld.pursuit import SECONDS
from curriculum.envs.botevade import (
    GOAL_AT,
    GOAL_RADIUS,
    PREDATORS,
    PREY_SPEED,
    PUFF_RADIUS,
    SUBSTEPS,
    BotEvade,
)
from curriculum.planners._tlppo.belief import Belief, squares
from curriculum.planners._tlppo.scenarios import Scenarios, Walk
from curriculum.types import Spec, State, stream, within

RUSH = 5  # times its top speed that a prey of the original dynamics may go


@dataclass(kw_only=True)
class TLPPO:
    """Act from observations and the known map alone."""

    needs: ClassVar[str] = "observation"
    # plans tried per decision: all that go on from a planning point are tried together
    simulations: int = 100
    # places drawn from the belief, from which the predator sets out in every plan
    scenarios: int = 32
    depth: int = 20  # steps planned ahead
    # 0 only refines the best plan, inf searches at random
    exploration: float = 1.4142135623730951
    # 0 counts all of a plan alike, 1 only the way to its first point
    discount: float = 0.1
    distance_weight: float = -30.0  # reward of a step, times the distance to the goal
    risk_weight: float = -1000.0  # reward of being caught
    sighting: bool = True  # belief: a predator in sight is where it is seen
    visibility: bool = True  # belief: one out of sight is nowhere in sight
    directed: bool = True  # belief: one that was seen goes to where it saw the prey
    diffusion: bool = True  # belief: one out of sight wanders

    def setup(self, env: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        """Make the tables of the world and forget all rows."""
        world = env.world
        if not isinstance(world, BotEvade):
            raise ValueError(
                f"tlppo evades a predator among occluders, such as --env botevade; {world} is none"
            )
        within(self, 1, np.inf, "simulations", "scenarios", "depth")
        within(self, 0, np.inf, "exploration")
        within(self, 0, 1, "discount")
        self.env, self.cells, self.rows_each = (
            env,
            world.layout,
            env.count // len(seeds),
        )
        self.tables = _tables(
            world.layout, world.predator, world.dynamics == "original"
        )
        ratio, seconds = PREDATORS[world.predator][0], SUBSTEPS * SECONDS
        self.belief = Belief(
            world.layout,
            step=ratio * PREY_SPEED * seconds,
            stride=PREY_SPEED * seconds * (RUSH if world.dynamics == "original" else 1),
            sighting=self.sighting,
            visibility=self.visibility,
            directed=self.directed,
            diffusion=self.diffusion,
        ).setup(env.count)
        self.allowed = self.tables.allowed.copy()  # [331, A]
        if world.actions == "points":  # other cells have no action
            named = np.isin(np.arange(CELLS), world.places)
            self.allowed[:, -2:] &= np.stack([np.full(CELLS, named[GOAL]), named], -1)
        self.generators = [stream(seed, "tlppo planner") for seed in seeds]
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Actions [n] int64, or [n, 2] float32 in [-1, 1]: the place to head for."""
        self.belief.update(rows, self.env.time[rows], obs)
        search = _Search(self, *self._roots(obs.astype(np.float64), rows))
        while search.live.size:
            search.simulate()
        target = search.best()
        world = self.env.world
        if world.actions == "continuous":
            return (2 * self.cells.xy[target] - 1).astype(np.float32)
        return np.searchsorted(world.places, target)

    def state(self) -> State:
        """All that is needed to go on exactly from here."""
        generators = [generator.bit_generator.state for generator in self.generators]
        return {"belief": self.belief.state(), "generators": generators}

    def load(self, state: State) -> None:
        self.belief.load(state["belief"])
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = saved

    def _roots(self, obs: np.ndarray, rows: np.ndarray) -> tuple[Walk, np.ndarray]:
        """Where the plans of these rows begin, in scenarios drawn from the belief, and
        numbers [n, A] in [0, 1)."""
        shape, options = (len(rows), self.scenarios), len(self.tables.targets)
        drawn = np.empty((len(rows), 1 + self.scenarios + options))
        for seed, generator in enumerate(self.generators):
            own = rows // self.rows_each == seed
            drawn[own] = generator.random(drawn[own].shape)
        mass = (
            self.belief.map[rows]
            .reshape(len(rows), self.belief.prior.size)
            .cumsum(-1, dtype=np.float64)
        )
        wanted = (
            (np.arange(self.scenarios) + drawn[:, :1]) / self.scenarios * mass[:, -1:]
        )
        wanted *= 1 - 1e-12  # rounding must not lead beyond the last square with mass
        at = np.array(
            [
                np.searchsorted(m, w, side="right")
                for m, w in zip(mass, wanted, strict=True)
            ],
            np.int64,
        )
        predator = squares(self.cells).ravel()[at.reshape(shape)]
        place = self.cells.open[
            (drawn[:, 1 : 1 + self.scenarios] * len(self.cells.open)).astype(np.int64)
        ]
        chased = self.belief.aim[rows, None]
        aim = np.where(chased < 0, place, chased)
        facing = self.tables.bearing[predator * CELLS + aim]
        if self.sighting:
            seen = obs[:, 3:6].any(-1)
            facing[seen] = np.degrees(obs[seen, 5:6])
        start = obs[:, :2]
        root = Walk(
            *(
                self.cells.nearest(start),
                start,
                np.degrees(obs[:, 2]),
                np.zeros(shape[0], np.int64),
            ),
            *(np.zeros(shape[0], bool), predator, aim, facing),
            *(np.full(shape, 0.5, np.float32), np.ones(shape, np.float32)),
        )
        return root, drawn[:, 1 + self.scenarios :]


@cache
def _tables(cells: Cellworld, predator: str, original: bool) -> Scenarios:
    ratio, turning, gain = PREDATORS[predator]
    return Scenarios(
        cells=cells,
        goal=GOAL_AT,
        reach=GOAL_RADIUS,
        puff=PUFF_RADIUS,
        speed=PREY_SPEED,
        gain=gain,
        predator_speed=ratio * PREY_SPEED,
        predator_gain=turning * gain,
        substeps=SUBSTEPS,
        seconds=SUBSTEPS * SECONDS,
        original=original,
    )


class _Search:
    """The trees of n rows. A node is a place reached by options; [n, E, A] are its
    options, 0 is the root."""

    def __init__(self, planner: TLPPO, root: Walk, noise: np.ndarray):
        self.planner, self.root, self.noise = planner, root, noise
        fewest = planner.allowed[planner.cells.open].sum(-1).min()
        shape = (
            len(noise),
            1 + planner.simulations // max(int(fewest), 1),
            noise.shape[1],
        )
        # rewards on the way to an option, and from there on
        self.leg, self.rest = np.zeros(shape), np.zeros(shape)
        # of both; -inf where there is no such option
        self.value = np.full(shape, -np.inf)
        self.visits, self.child = np.zeros(shape), np.full(shape, -1)
        # whether something is left to be tried beyond an option
        self.open = np.zeros(shape, bool)
        self.parent = np.zeros((*shape[:2], 2), np.int64)  # node and option
        self.ends = Walk(*(np.zeros((*shape, *x.shape[1:]), x.dtype) for x in root))
        self.size = np.ones(len(noise), np.int64)
        self.live = np.arange(len(noise))
        self.tried = self._grow(self.live, np.zeros_like(self.live), root)
        self._retire()

    def simulate(self) -> None:
        """Descend to an option that nothing was tried from, try all that go on from
        there, and learn."""
        row, node, option = self._descend()
        if row.size:
            new = self.size[row]
            self.child[row, node, option], self.parent[row, new] = (
                new,
                np.stack([node, option], -1),
            )
            self.tried[row] += self._grow(
                row, new, Walk(*(x[row, node, option] for x in self.ends))
            )
            self.size[row] += 1
            self._learn(row, new)
        self._retire()

    def best(self) -> np.ndarray:
        """The cells [n] to head for: that of the best option, or of the best one beyond
        it if it is within a step."""
        row, tables = np.arange(len(self.noise)), self.planner.tables
        option = self.value[:, 0].argmax(-1)
        child = self.child[row, 0, option]
        beyond = self.value[row, np.maximum(child, 0)].argmax(-1)
        apart = np.hypot(
            *(self.planner.cells.xy[tables.targets[option]] - self.root.xy).T
        )
        near = (
            (apart < tables.speed * tables.seconds)
            & (tables.targets[option] >= 0)
            & (child > 0)
        )
        target = tables.targets[
            np.where(near & (tables.targets[beyond] >= 0), beyond, option)
        ]
        return np.where(target < 0, self.root.cell, target)

    def _grow(self, row: np.ndarray, node: np.ndarray, start: Walk) -> np.ndarray:
        """Try every option of new nodes, each followed by the straight way to the goal;
        returns how many, [m]."""
        planner, tables = self.planner, self.planner.tables
        weights = (planner.distance_weight, planner.risk_weight)
        which, option = np.nonzero(planner.allowed[start.cell])
        end, leg = tables.walk(
            Walk(*(x[which] for x in start)), option, planner.depth, weights
        )
        rest, on = np.zeros(len(which)), np.flatnonzero(~end.over)
        straight = np.full(on.size, len(tables.targets) - 2)
        _, rest[on] = tables.walk(
            Walk(*(x[on] for x in end)), straight, planner.depth, weights
        )
        at = row[which], node[which], option
        self.leg[at], self.rest[at], self.open[at], self.visits[at] = (
            leg,
            rest,
            ~end.over,
            1,
        )
        self.value[at] = leg + (1 - planner.discount) * rest
        for x, y in zip(self.ends, end, strict=True):
            x[at] = y
        return np.bincount(which, minlength=len(row))

    def _descend(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, nodes and options from which nothing was tried; where a node has none
        left, its option is closed."""
        row, node, found = self.live, np.zeros_like(self.live), []
        while row.size:
            urge = self._urge(row, node)
            option = urge.argmax(-1)
            spent = ~self.open[row, node].any(-1)
            self.open[(row[spent], *self.parent[row[spent], node[spent]].T)] = False
            child = self.child[row, node, option]
            leaf = ~spent & (child < 0)
            found.append(np.stack([row[leaf], node[leaf], option[leaf]]))
            on = ~spent & ~leaf
            row, node = row[on], child[on]
        row, node, option = np.concatenate(found, -1)
        return row, node, option

    def _urge(self, row: np.ndarray, node: np.ndarray) -> np.ndarray:
        """How much each open option [m, A] asks to be tried (UCB1), its value on a
        scale from the worst to the best."""
        value, visits, noise = (
            self.value[row, node],
            self.visits[row, node],
            self.noise[row],
        )
        if np.isinf(self.planner.exploration):
            return np.where(
                self.open[row, node],
                (noise + 0.618034 * self.size[row, None]) % 1,
                -np.inf,
            )
        worst = np.where(visits, value, np.inf).min(-1, keepdims=True)
        width = np.maximum(value.max(-1, keepdims=True) - worst, 1e-9)
        spread = np.sqrt(
            2 * np.log(visits.sum(-1, keepdims=True)) / np.maximum(visits, 1)
        )
        urge = (
            (value - worst) / width + self.planner.exploration * spread + 1e-9 * noise
        )
        return np.where(self.open[row, node], urge, -np.inf)

    def _learn(self, row: np.ndarray, node: np.ndarray) -> None:
        """Carry the best value of new nodes up to the root."""
        while row.size:
            at = (row, *self.parent[row, node].T)
            self.rest[at] = np.maximum(self.rest[at], self.value[row, node].max(-1))
            self.value[at] = self.leg[at] + (1 - self.planner.discount) * self.rest[at]
            self.visits[at] += 1
            up = at[1] > 0
            row, node = row[up], at[1][up]

    def _retire(self) -> None:
        """Leave rows that have tried enough, or all there is."""
        row = self.live
        going = (self.tried[row] < self.planner.simulations) & (
            self.size[row] < self.value.shape[1]
        )
        self.live = row[going & self.open[row, 0].any(-1)]
