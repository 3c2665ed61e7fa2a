"""Tree search over planning points against a belief map of the predator (TLPPO).

TLPPO is the planner of the Cellworld project. This one differs in what a plan is
evaluated against: the published planner uses the belief map as it is now; here,
predators are drawn from the map, move on, chase the prey on sight and turn as slowly as
the real one. The tree is built anew for every decision."""

from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Self

import numpy as np

from curriculum.envs._cellworld.cells import Cellworld
from curriculum.envs._cellworld.lattice import CELLS, GOAL
from curriculum.envs._cellworld.observation import (
    PREDATOR_DIRECTION,
    PREY_DIRECTION,
    PREY_POSITION,
    predator_visible,
)
from curriculum.envs._cellworld.rules import PREDATORS, PREY_SPEED, STEP_SECONDS
from curriculum.envs.botevade import BotEvade
from curriculum.planners._generators import SeedGenerators
from curriculum.planners._tlppo.belief import Belief
from curriculum.planners._tlppo.options import Prey
from curriculum.planners._tlppo.predators import Predators
from curriculum.planners._tlppo.scenarios import Rollouts, Scenarios, Weights
from curriculum.planners._tlppo.search import Found, Search
from curriculum.planners._tlppo.turning import bearings
from curriculum.types import Decision, Planner, Rows, Spec, State, within

# how many times its top speed a prey of the original dynamics may move at
ORIGINAL_OVERSPEED = 5


@dataclass(kw_only=True)
class TLPPO(Planner):
    """Act from observations and the known map alone.

    Where actions are points, a decision weighs the options of the root by
    exp((value - best) / (temperature x standard deviation of the values)), as `mppi`
    does its variants. What is at stake is by how much the best option is worth more
    than the mean of all, in this planner's own rewards."""

    needs: ClassVar[str] = "observation"
    gives: ClassVar[tuple[str, ...]] = ("weights", "stake")
    # options tried per decision; all that may follow one another are tried together
    simulations: int = 100
    # cells drawn from the belief map: predators that every plan is evaluated against
    scenarios: int = 32
    depth: int = 20  # environment steps planned ahead
    # UCB1 constant; 0: only refine the best plan, inf: search at random
    exploration: float = 1.4142135623730951
    # 0: weigh all steps of a plan alike, 1: only count those to its first point
    discount: float = 0.1
    # reward of a step for each unit of distance from the goal
    distance_weight: float = -30.0
    risk_weight: float = -1000.0  # reward of being caught
    # of the weights in a decision, not of the search: near 0: the best option has all
    temperature: float = 0.1
    sighting: bool = True  # belief: a predator in sight is where it is seen
    visibility: bool = True  # belief: a predator out of sight is nowhere in sight
    # belief: a predator that was seen goes to where it saw the prey
    directed: bool = True
    diffusion: bool = True  # belief: a predator out of sight wanders

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        """Build the tables of the world and reset the belief maps; ValueError for
        worlds other than BotEvade."""
        world = rows.world
        if not isinstance(world, BotEvade):
            raise ValueError(
                "tlppo plays worlds with a predator among occluders, such as "
                f"--env botevade; {world} is not one"
            )
        within(self, 1, np.inf, "simulations", "scenarios", "depth")
        if self.exploration != np.inf:  # then the search is random
            within(self, 0, np.inf, "exploration")
        within(self, 0, 1, "discount")
        within(self, 1e-6, np.inf, "temperature")
        self.rows = rows
        self.world = world
        self.cells = world.layout
        self.belief = self._new_belief().setup(rows.count)
        self.search = self._new_search()
        rows_per_seed = rows.count // len(seeds)
        self.generators = SeedGenerators(seeds, "tlppo planner", rows_per_seed)
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> Decision:
        """Destinations [n] int64, or [n, 2] float32 in [-1, 1]."""
        self.belief.update(rows, self.rows.time[rows], obs)
        offset, places, noise = self._draw(rows)
        root = self._root(obs.astype(np.float64), rows, offset, places)
        found = self.search.run(root, noise)
        exists = np.isfinite(found.values)  # [n, A]
        mean = np.where(exists, found.values, 0).sum(-1) / exists.sum(-1)
        stake = np.maximum(found.values.max(-1) - mean, 0)
        if self.world.actions == "continuous":
            action = (2 * self.cells.xy[found.target] - 1).astype(np.float32)
            return Decision(action, stake=stake)
        action = np.searchsorted(self.world.places, found.target)
        return Decision(action, self._weights(found, action), stake=stake)

    def _weights(self, found: Found, action: np.ndarray) -> np.ndarray:
        """Weights [n, actions] of the options; all of it for an action [n] that is not
        the best option itself, but what follows it."""
        exists = np.isfinite(found.values)
        best = found.values.max(-1, keepdims=True)
        advantage = np.where(exists, found.values - best, 0)
        count = exists.sum(-1, keepdims=True)
        mean = advantage.sum(-1, keepdims=True) / count
        square = np.where(exists, advantage - mean, 0) ** 2
        deviation = np.sqrt(square.sum(-1, keepdims=True) / count)
        scale = self.temperature * np.maximum(deviation, 1e-9)
        weight = np.where(exists, np.exp(advantage / scale), 0)
        weight = weight / weight.sum(-1, keepdims=True)
        weights = np.zeros((len(action), len(self.world.places)))
        row, option = np.nonzero(exists)
        place = np.searchsorted(self.world.places, found.targets[row, option])
        np.add.at(weights, (row, place), weight[row, option])
        follows = weights[np.arange(len(action)), action] < weights.max(-1)
        weights[follows] = np.eye(weights.shape[-1])[action[follows]]
        return weights

    def state(self) -> State:
        return {"belief": self.belief.state(), "generators": self.generators.state()}

    def load(self, state: State) -> None:
        self.belief.load(state["belief"])
        self.generators.load(state["generators"])

    def _new_belief(self) -> Belief:
        predator_speed = PREDATORS[self.world.predator].speed * PREY_SPEED
        prey_step = PREY_SPEED * STEP_SECONDS
        if self.world.dynamics == "original":
            prey_step *= ORIGINAL_OVERSPEED
        return Belief(
            self.cells,
            predator_step=predator_speed * STEP_SECONDS,
            prey_step=prey_step,
            sighting=self.sighting,
            visibility=self.visibility,
            directed=self.directed,
            diffusion=self.diffusion,
        )

    def _new_search(self) -> Search:
        original = self.world.dynamics == "original"
        model = _scenarios(self.cells, self.world.predator, original)
        allowed = model.options.allowed.copy()  # [331, A]
        if self.world.actions == "points":  # other cells have no action
            named = np.isin(np.arange(CELLS), self.world.places)
            goal_named = np.full(CELLS, named[GOAL])
            allowed[:, -2:] &= np.stack([goal_named, named], -1)
        return Search(
            scenarios=model,
            allowed=allowed,
            simulations=self.simulations,
            depth=self.depth,
            exploration=self.exploration,
            discount=self.discount,
            weights=Weights(self.distance_weight, self.risk_weight),
        )

    def _draw(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Random numbers in [0, 1) for one decision in each of `rows`: [n, 1] to sample
        the belief map, [n, K] for destinations of predators, [n, A] for the search."""
        options = len(self.search.scenarios.options.targets)
        drawn = np.empty((len(rows), 1 + self.scenarios + options))
        for generator, own in self.generators.by_seed(rows):
            drawn[own] = generator.random(drawn[own].shape)
        offset, places, noise = np.split(drawn, [1, 1 + self.scenarios], -1)
        return offset, places, noise

    def _root(
        self,
        obs: np.ndarray,
        rows: np.ndarray,
        offset: np.ndarray,
        places: np.ndarray,
    ) -> Rollouts:
        """Where the plans of these rows begin: the observed prey and predators drawn
        from the belief map."""
        xy = obs[:, PREY_POSITION]
        prey = Prey(
            cell=self.cells.nearest(xy),
            xy=xy,
            heading=np.degrees(obs[:, PREY_DIRECTION]),
            time=np.zeros(len(rows), np.int64),
            over=np.zeros(len(rows), bool),
        )
        predator = self.belief.sample(rows, offset, self.scenarios)  # [n, K]
        wandering = (places * len(self.cells.open)).astype(np.int64)
        pursued = self.belief.destination[rows, None]
        destination = np.where(pursued < 0, self.cells.open[wandering], pursued)
        heading = bearings(self.cells)[predator * CELLS + destination]
        if self.sighting:
            visible = predator_visible(obs)
            seen_heading = np.degrees(obs[visible, PREDATOR_DIRECTION])
            heading[visible] = seen_heading[:, None]
        predators = Predators(
            cell=predator,
            destination=destination,
            heading=heading,
            progress=np.full(predator.shape, 0.5, np.float32),
            survival=np.ones(predator.shape, np.float32),
        )
        return Rollouts(prey, predators)


@cache
def _scenarios(cells: Cellworld, predator: str, original: bool) -> Scenarios:
    """The model of a world, with its tables built once."""
    return Scenarios(cells=cells, ratios=PREDATORS[predator], original=original)
