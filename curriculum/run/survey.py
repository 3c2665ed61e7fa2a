"""Maps in the course of training: where a run has been, what it finds new, and what it
believes states to be worth."""

import numpy as np

from curriculum.envs._base.native import Grid, Mapped
from curriculum.replay.buffer import Buffer
from curriculum.run.tracks import Tracks, cells_of
from curriculum.types import Bonus, Planner, Policy, World

PER_CELL = 4  # states, evenly spread over those of a cell
SEEN = 2_000  # newest observations that a map of a world without a list of states uses


class Survey:
    """Draws maps of a run; where it collects nothing there are no `tracks`.

    Every map is [P, height, width], nan in walls and where nothing is known."""

    def __init__(
        self,
        world: Mapped,
        learner: Policy,
        planner: Planner | None,
        bonus: Bonus | None,
        buffer: Buffer,
        tracks: Tracks | None,
    ):
        self.world = world
        self.learner = learner
        self.planner = planner
        self.bonus = bonus
        self.buffer = buffer
        self.tracks = tracks
        self.states = _states(world) if isinstance(world, Grid) else None

    def draw(self) -> dict[str, np.ndarray]:
        """All maps, the trails of `Tracks.newest`, and what the visits amount to, [P]
        each."""
        values: dict[str, np.ndarray] = {}
        if self.tracks:
            values |= self._visits(self.tracks)
        obs, cell = self._places()
        drawn = {"exploitation_value": self.learner.value(obs)}
        if self.bonus:
            drawn |= self.bonus.maps(obs)
        if self.planner:
            drawn |= self.planner.maps(obs)  # the bonus that it is paid
        for name, quantity in drawn.items():
            values[f"map/{name}"] = self._by_cell(cell, quantity)
        return values

    def _visits(self, tracks: Tracks) -> dict[str, np.ndarray]:
        visits = tracks.visits.astype(float)
        total = visits.sum((1, 2), keepdims=True)
        density = visits / np.maximum(total, 1)
        free = ~self.world.walls
        entered = visits[:, free] > 0
        return {
            "map/density": np.where(free, density, np.nan),
            "map/trail": tracks.newest(),
            "map/coverage": entered.mean(1),
            "map/evenness": evenness(density[:, free]),
        }

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Observations [P, n, *O] and their cells [P, n], -1 for none."""
        world = self.world
        seeds = len(self.buffer.size)
        if self.states is not None and isinstance(world, Grid):
            obs = np.stack([world.observe(self.states)] * seeds)
            return obs, np.stack([world.cell(self.states)] * seeds)
        recent = self.buffer.recent_obs(SEEN)
        obs = np.zeros((seeds, SEEN, *self.buffer.spec.obs_shape), np.float32)
        cell = np.full((seeds, SEEN), -1)
        for seed, own in enumerate(recent):
            obs[seed, : len(own)] = own
            cell[seed, : len(own)] = cells_of(world.position(own), world.cells)
        return obs, cell

    def _by_cell(self, cell: np.ndarray, quantity: np.ndarray) -> np.ndarray:
        """Mean of a quantity [P, n] over the observations of each cell."""
        size = int(np.prod(self.world.cells))
        means = np.full((len(cell), size), np.nan, np.float32)
        for own_means, own_cell, own in zip(means, cell, quantity, strict=True):
            known = own_cell >= 0
            count = np.bincount(own_cell[known], minlength=size)
            total = np.bincount(own_cell[known], own[known], size)
            own_means[count > 0] = (total / np.maximum(count, 1))[count > 0]
        maps = means.reshape(-1, *self.world.cells)
        return np.where(self.world.walls, np.nan, maps)


def _states(world: Grid) -> np.ndarray:
    """At most `PER_CELL` states of every cell that is no wall."""
    states = world.states()
    cell = world.cell(states)
    chosen = []
    for free in np.flatnonzero(~world.walls):
        own = np.flatnonzero(cell == free)
        spread = np.linspace(0, len(own) - 1, min(len(own), PER_CELL)).astype(int)
        chosen.append(own[spread])
    return states[np.concatenate(chosen)]


def evenness(share: np.ndarray) -> np.ndarray:
    """Entropy of shares [P, n], divided by that of equal ones: 0 where one place has
    all, 1 where all have the same, [P]."""
    surprise = np.log(share, where=share > 0, out=np.zeros_like(share))
    return -(share * surprise).sum(-1) / np.log(share.shape[-1])


def require_maps(world: World) -> Mapped:
    """A world with maps; ValueError where this is none."""
    if not isinstance(world, Mapped):
        raise ValueError(
            f"--map-every draws gridworld, pointmass and botevade, and the world "
            f"{type(world).__name__} has no positions to draw; leave it out"
        )
    world.position(np.zeros((1, *world.observation_space.shape), np.float32))
    return world
