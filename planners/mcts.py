"""Monte-Carlo tree search (UCT, Kocsis and Szepesvari 2006) in copies of any world of
discrete actions."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from curriculum.envs._base.streams import RowStreams
from curriculum.planners._search.tree import Trees, rollout
from curriculum.types import Spec, State, stream, within


@dataclass(kw_only=True)
class MCTS:
    """A simulation follows the tree to a leaf and plays on at random to the horizon;
    the action most tried is taken.

    Nodes are sequences of actions and every simulation starts from the root: chance is
    averaged over (open loop), and all rows' simulations are one rollout. Mean returns
    are scaled by the range seen in the tree (MuZero, Schrittwieser et al. 2020), which
    lets `exploration` fit any reward. Time limits are not seen."""

    simulations: int = 64  # nodes that each decision's tree grows by
    # copies that play each simulation: less noise, where copies are cheap hardly more
    # time
    rollouts: int = 8
    horizon: int = 50  # steps that a simulation looks ahead
    exploration: float = 1.0  # 0: only what looks best is tried; large: all alike
    discount: float = 0.99  # of rewards per step

    needs: ClassVar[str] = "state"

    def __post_init__(self):
        within(self, 1, float("inf"), "simulations", "rollouts", "horizon")
        within(self, 0, float("inf"), "exploration")
        within(self, 0.01, 1, "discount")

    def setup(self, env: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        """Take copies of the rows to search in, and give every seed its generator."""
        if not spec.actions:
            raise ValueError(
                f"mcts needs discrete actions, {env.world} has box actions; choose --planner mppi"
            )
        self.simulator, self.actions, self.rows_each = (
            env.simulator(),
            spec.actions,
            env.count // len(seeds),
        )
        self.generators = [stream(seed, "mcts planner") for seed in seeds]
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The actions [n] that the trees of these rows, in ascending order, have tried
        most."""
        if not len(rows):
            return np.zeros(0, np.int64)
        owner = rows // self.rows_each
        draw = RowStreams(
            self.generators, np.bincount(owner, minlength=len(self.generators))
        )
        copies, owners = (
            np.repeat(each, self.rollouts, 0)
            for each in (self.simulator.states(rows), owner)
        )
        weight = self.discount ** np.arange(self.horizon)
        shape = (len(rows), self.rollouts, self.horizon)
        trees = Trees(draw.random((len(rows), self.simulations + 1, self.actions)))
        for _ in range(self.simulations):
            nodes, path = trees.descend(self.horizon, self.exploration)
            chance = (draw.random(shape) * self.actions).astype(np.int64)
            played = np.where(nodes[:, None] >= 0, path[:, None], chance).reshape(
                -1, self.horizon
            )
            reward = (
                rollout(self.simulator, copies, played, owners, self.generators)[0]
                .reshape(shape)
                .mean(1)
            )
            trees.learn(
                nodes, path, (reward * weight)[:, ::-1].cumsum(1)[:, ::-1] / weight
            )
        return trees.best()

    def state(self) -> State:
        """All that is needed to draw on exactly from here."""
        return {
            "generators": [
                generator.bit_generator.state for generator in self.generators
            ]
        }

    def load(self, state: State) -> None:
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = saved
