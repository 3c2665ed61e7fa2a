"""A mouse that has to get past a robot among occluders: BotEvade of the Cellworld
project (gymnasium-cellworld).

The prey is told four times a second where to go, in a hexagonal arena; the predator
goes where the two last saw each other, or anywhere. A puff of air costs and does not
end the episode; reaching the east corner does.

The original simulator has faults that change what is learned: agents exceed their top
speed when a waypoint is far and walk through occluders, the predator forgets a prey in
sight when its way ends, cells are looked up on a grid of pixels, a step is 0.25 or
0.275 s by rounding, and a hidden predator is shown during cool-downs. `dynamics` keeps
or mends all.
"""

import re
from dataclasses import dataclass, fields
from functools import cache, cached_property
from typing import ClassVar, Literal, get_args

import gymnasium as gym
import numpy as np

from curriculum.envs._base.native import Dynamics
from curriculum.envs._base.streams import Random
from curriculum.envs._cellworld.cells import (
    GOAL,
    WORLDS,
    Cellworld,
    cellworld,
    random_occluders,
)
from curriculum.envs._cellworld.cells import START as START_CELL
from curriculum.envs._cellworld.pursuit import (
    BODIES,
    NONE,
    PAIRED,
    REACH,
    SECONDS,
    SIGHTING,
    Pursuit,
)
from curriculum.envs._cellworld.sight import Screens, sees_body

# in a step of 0.25 s; the original's clock adds up rounded numbers and sometimes counts
# 11
SUBSTEPS = 10
START, GOAL_AT = (0.05, 0.5), np.array([1.0, 0.5])
GOAL_RADIUS = PUFF_RADIUS = 0.1
COOLDOWN = 0.5  # seconds in which the predator neither puffs nor finds another aim
SIGHT = 1.0  # nothing is seen farther away
PREDATORS = {
    "slow": (0.15, 0.175, 20.0),
    "fast": (1.0, 1.0, 20.0),
    "equal": (1.0, 1.0, 5.0),
}
PREY_SPEED = 0.5  # per second
OCCLUDED = 36  # cells of a random world

COLUMNS = (
    *(f"{agent}_{field}" for field in PAIRED for agent in ("predator", "prey")),
    *(
        "seen_x",
        "seen_y",
        "distance",
        "visible",
        "cooldown",
        "puffed",
        "puffs",
        "finished",
        "time",
    ),
)
PAIRS = 2 * len(PAIRED)
SEEN_X, SEEN_Y, DISTANCE, VISIBLE, COOLING, PUFFED, PUFFS, FINISHED, TIME = range(
    PAIRS, len(COLUMNS)
)
OBSERVED = (
    *(
        "prey_x",
        "prey_y",
        "prey_direction",
        "predator_x",
        "predator_y",
        "predator_direction",
    ),
    *(
        "prey_goal_distance",
        "predator_prey_distance",
        "puffed",
        "puff_cooled_down",
        "finished",
    ),
)


@dataclass(kw_only=True)
class BotEvade(Dynamics):
    """Reach the east corner unpuffed. Actions name the place the prey heads for; an
    observation is `OBSERVED`.

    State: `COLUMNS`, [N, 29] float64. Success is the goal without a single puff."""

    # a published one; or "random:SEED"; or the numbers of the occluded cells: "3,18,24"
    world: str = "21_05"
    # slow: 0.15 of the prey's speed; equal: turns like it, slowly
    predator: Literal["slow", "fast", "equal"] = "slow"
    # original: as published, with its faults
    dynamics: Literal["corrected", "original"] = "corrected"
    # open cells, planning points, or any place in [0, 1]^2
    actions: Literal["all", "points", "continuous"] = "all"
    # "field=multiplier" or "field=multiplier+offset"
    rewards: tuple[str, ...] = ("puffed=-1", "finished=1")
    hide_distance: bool = True  # of a predator out of sight: it is said to be 1 away
    end_on_puff: bool = False  # a puff ends the episode
    max_steps: int = 300  # an episode is truncated after so many steps; 0: never

    fps: ClassVar[int] = 4  # in real time
    defaults: ClassVar[dict[str, str]] = {"planner": "tlppo", "learner": "iql"}

    def __post_init__(self):
        for field in fields(self):
            choices, value = get_args(field.type), getattr(self, field.name)
            if field.name != "rewards" and choices and value not in choices:
                raise ValueError(
                    f"no {field.name} {value!r}; there are: {', '.join(choices)}"
                )
        if self.max_steps < 0:
            raise ValueError(
                f"max_steps must be positive, or 0 for no limit, got {self.max_steps}"
            )
        _occluded(self.world)
        _weights(self.rewards)

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
        return cellworld(_occluded(self.world))

    @cached_property
    def places(self) -> np.ndarray:
        """The cells that discrete actions name, in order of the actions."""
        return self.layout.points if self.actions == "points" else self.layout.open

    def begin(self, rng: Random, rows: int) -> np.ndarray:
        """First states [N, 29]: the prey in the west facing east, the predator in a
        random hidden cell facing west."""
        draw = rng.random((rows, 2))
        columns = np.zeros((len(COLUMNS), rows))
        pair = columns[:PAIRS].reshape(len(PAIRED), 2, rows)
        spawn = (
            self.layout.spawn
            if len(self.layout.spawn)
            else self.layout.nearest(np.array([[0.5, 0.5]]))
        )
        pair[:2, 0] = self.layout.xy[
            spawn[(draw[:, 0] * len(spawn)).astype(np.int64)]
        ].T
        pair[:2, 1] = np.array(START)[:, None]
        pair[2, 0] = 180
        pair[5:8] = NONE
        self._update(columns, draw[:, 1], 0.0)
        return columns.T.copy()

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Random
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next states [N, 29], rewards [N] and terminated [N]; a number is drawn for
        each sub-step."""
        columns = state.T.copy()
        columns[PUFFED] = 0
        columns[COLUMNS.index("prey_pending")] = self._goal_cells(action)
        draws = rng.random((len(state), SUBSTEPS + 1)).T
        end = columns[TIME] + SUBSTEPS * SECONDS
        for substep in range(SUBSTEPS + (self.dynamics == "original")):
            running = ~self._over(columns)
            if self.dynamics == "original":
                running &= columns[TIME] < end
            live = np.flatnonzero(running)
            if live.size == len(state):
                self._substep(columns, draws[substep])
            elif live.size:
                part = np.take(columns, live, 1)
                self._substep(part, draws[substep, live])
                columns[:, live] = part
        if self.dynamics == "corrected":  # whoever cooled down has not looked since
            self._look(
                columns,
                np.flatnonzero((columns[COOLING] > 0) | (state[:, COOLING] > 0)),
            )
        weights, offset = _weights(self.rewards)
        return (
            columns.T.copy(),
            self._observed(columns).T @ weights + offset,
            self._over(columns),
        )

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [N, 11] float32 in the order of `OBSERVED`: radians, not
        wrapped; zeros where hidden."""
        return np.ascontiguousarray(self._observed(state.T).T, np.float32)

    def success(self, state: np.ndarray) -> np.ndarray:
        """Whether the prey is at the goal and was never puffed, [N]."""
        return (state[:, FINISHED] > 0) & (state[:, PUFFS] == 0)

    def shortest_path(self, state: np.ndarray) -> np.ndarray:
        """Actions that lead straight to the goal, whatever the predator does: [N], or
        [N, 2] in [-1, 1]."""
        if self.actions == "continuous":
            return np.tile(
                (2 * self.layout.xy[GOAL] - 1).astype(np.float32), (len(state), 1)
            )
        nearest = ((self.layout.xy[self.places] - GOAL_AT) ** 2).sum(-1).argmin()
        return np.full(len(state), nearest)

    def draw(self, state: np.ndarray) -> np.ndarray:
        """A picture [632, 720, 3] uint8 of one state [29]: the prey blue with its way
        and, light, what it sees.

        The predator is red, and pale while it is out of sight; the ring around it is as
        wide as a puff."""
        # here, not above: training never draws
        from curriculum.envs._cellworld.scene import draw_scene

        cell, destination = state[
            [COLUMNS.index("prey_waypoint"), COLUMNS.index("prey_destination")]
        ].astype(int)
        way = []
        while cell != NONE:
            way.append(self.layout.xy[cell])
            cell = NONE if cell == destination else self.layout.leg[cell, destination]
        poses, seen = state[:6].reshape(3, 2).T, bool(state[VISIBLE])
        return draw_scene(self.layout, GOAL_AT, GOAL_RADIUS, poses, seen, np.array(way))

    @cached_property
    def _pursuit(self) -> Pursuit:
        speed, turn, gain = PREDATORS[self.predator]
        top_speed, gains = (
            PREY_SPEED * np.array([[speed], [1]]),
            gain * np.array([[turn], [1]]),
        )
        corrected = self.dynamics == "corrected"
        return Pursuit(
            self.layout,
            top_speed,
            gains,
            capped=corrected,
            solid=corrected,
            exact=corrected,
        )

    def _goal_cells(self, action: np.ndarray) -> np.ndarray:
        """The cells that actions name, [N]."""
        if self.actions == "continuous":
            return self._pursuit.locate(np.asarray(action, np.float64))
        return self.places[action]

    def _over(self, columns: np.ndarray) -> np.ndarray:
        over = columns[FINISHED] > 0
        return over | (columns[PUFFED] > 0) if self.end_on_puff else over

    def _substep(self, columns: np.ndarray, draw: np.ndarray) -> None:
        pair = columns[:PAIRS].reshape(len(PAIRED), 2, -1)
        self._pursuit.move(pair)
        self._pursuit.navigate(pair, columns[SEEN_X : SEEN_Y + 1])
        columns[TIME] += SECONDS
        self._update(columns, draw, SECONDS)

    def _update(self, columns: np.ndarray, draw: np.ndarray, seconds: float) -> None:
        """Look, puff and aim anew where the predator is ready; let cool-downs run; see
        who is at the goal."""
        pair = columns[:PAIRS].reshape(len(PAIRED), 2, -1)
        cooling, waypoint, pending = columns[COOLING], pair[5, 0], pair[7, 0]
        ready = cooling <= 0
        self._look(columns, ready.nonzero()[0])
        sighted = ready & (columns[VISIBLE] > 0)
        puffed = sighted & (columns[DISTANCE] <= PUFF_RADIUS)
        np.copyto(columns[PUFFED], 1, where=puffed)
        columns[PUFFS] += puffed
        np.copyto(cooling, COOLDOWN, where=puffed)
        np.copyto(columns[SEEN_X : SEEN_Y + 1], pair[:2, 1], where=sighted)
        np.copyto(pending, SIGHTING, where=sighted)
        idle = ready & (waypoint == NONE)
        if self.dynamics == "corrected":
            idle &= ~sighted
        if idle.any():
            places = self.layout.open
            pending[idle] = places[(draw[idle] * len(places)).astype(np.int64)]
        np.maximum(cooling - seconds, 0, out=cooling)
        columns[FINISHED] = (
            np.hypot(pair[0, 1] - GOAL_AT[0], pair[1, 1] - GOAL_AT[1]) <= GOAL_RADIUS
        )

    def _look(self, columns: np.ndarray, rows: np.ndarray) -> None:
        """Measure the distance and see whether the predator is in sight, in these
        rows."""
        if not rows.size:
            return
        places, heading = (
            columns[:4].take(rows, 1).reshape(2, 2, -1),
            columns[4].take(rows),
        )
        centre, eye = places.swapaxes(0, 1)
        columns[DISTANCE, rows] = distance = np.hypot(*(centre - eye))
        screens = _screens(self.layout)
        seen = sees_body(
            eye,
            centre,
            heading,
            BODIES[0],
            screens.occluders,
            screens.between(eye, centre),
        )
        columns[VISIBLE, rows] = seen & (distance <= SIGHT)

    def _observed(self, columns: np.ndarray) -> np.ndarray:
        """The observations as columns [11, N] float64."""
        (predator_x, prey_x), (predator_y, prey_y), (predator_heading, prey_heading) = (
            columns[:6].reshape(3, 2, -1)
        )
        visible = columns[VISIBLE] > 0
        distance = columns[DISTANCE]
        return np.stack([
            prey_x,
            prey_y,
            np.radians(prey_heading),
            predator_x * visible,
            predator_y * visible,
            np.radians(predator_heading) * visible,
            np.hypot(prey_x - GOAL_AT[0], prey_y - GOAL_AT[1]),
            np.where(visible, distance, 1.0) if self.hide_distance else distance,
            columns[PUFFED],
            columns[COOLING],
            columns[FINISHED],
        ])  # fmt: skip


@cache
def _screens(cells: Cellworld) -> Screens:
    return Screens.of(cells.xy[list(cells.occluded)], REACH[0, 0])


def _occluded(world: str) -> tuple[int, ...]:
    """The occluded cells that a name, "random:SEED" or a list of numbers stands for."""
    if world in WORLDS:
        return WORLDS[world]
    if re.fullmatch(r"random:\d+", world):
        return random_occluders(int(world.removeprefix("random:")), OCCLUDED)
    if not re.fullmatch(r"\d+(,\d+)*", world):
        names = ", ".join(WORLDS)
        raise ValueError(
            f'no world {world!r}; there are: {names}, "random:SEED" and lists of cells: "3,18,24"'
        )
    cells = tuple(map(int, world.split(",")))
    if not all(START_CELL < cell < GOAL for cell in cells):
        raise ValueError(
            f"occluded cells lie between the first, {START_CELL}, and the last, {GOAL}; got {world}"
        )
    return cells


def _weights(rewards: tuple[str, ...]) -> tuple[np.ndarray, float]:
    """Multipliers [11] of the observed fields and the sum of the offsets."""
    weights, offset = np.zeros(len(OBSERVED)), 0.0
    for rule in rewards:
        field, _, numbers = rule.partition("=")
        multiplier, _, shift = numbers.partition("+")
        if field not in OBSERVED:
            raise ValueError(
                f"no field {field!r} to reward; there are: {', '.join(OBSERVED)}"
            )
        try:
            weights[OBSERVED.index(field)] += float(multiplier)
            offset += float(shift or 0)
        except ValueError:
            raise ValueError(
                f"a reward is written field=multiplier or field=multiplier+offset, got {rule!r}"
            ) from None
    return weights, offset
