"""A linear policy found by augmented random search (Mania et al. 2018)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from curriculum.envs._base.spec import spec_of
from curriculum.planners._ars import search
from curriculum.planners._ars.linear import Linear, policy_of
from curriculum.planners._ars.settings import ARSSettings
from curriculum.planners._expert import storage
from curriculum.planners._expert.cache import trained_policy
from curriculum.planners._expert.goals import Trained
from curriculum.types import Planner, Rows, Spec, World


@dataclass(kw_only=True)
class ARS(Planner, ARSSettings):
    """Needs no gradients and no library: whole episodes are played with the policy
    moved a little in random directions. For flat observations, and for locomotion such
    as Hopper-v5 in particular, where it is far quicker than `sac`."""

    def check_world(self, world: World) -> None:
        self.check(world)

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        self.policy: Linear = trained_policy(self, rows)
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return self.policy.act(obs)

    def check(self, world: World) -> None:
        super().check(world)
        shape = world.observation_space.shape
        if len(shape) != 1:
            raise ValueError(
                f"ars needs flat observations, those of {world} have shape {shape}; "
                "choose sac, tqc, dqn or qrdqn"
            )

    def train(self, world: World, folder: Path) -> Trained:
        return search.train(self, world, folder)

    def restore(self, weights: dict[str, np.ndarray], rows: Rows) -> Linear:
        spec = spec_of(rows.world)
        zeros = np.zeros((spec.actions or spec.action_size, *spec.obs_shape))
        discrete = bool(spec.actions)
        ones = np.ones(spec.obs_shape)
        untrained = Linear(zeros, ones, ones, discrete)
        storage.require_same(untrained.weights, weights)
        return policy_of(weights, discrete)
