"""Experts: planners that ask a policy of Stable-Baselines3."""

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy

from curriculum.planners._expert import snapshot, storage, training
from curriculum.planners._expert.cache import trained_policy
from curriculum.planners._expert.goals import Trained
from curriculum.planners._expert.model import build_policy, check_world
from curriculum.planners._expert.policies import actions_of, isolated
from curriculum.planners._expert.settings import ExpertSettings
from curriculum.planners._generators import SeedGenerators
from curriculum.types import Planner, Rows, Spec, State, World


class Expert(Planner):
    """A planner that asks a policy; a plug-in says which."""

    # take the most likely action instead of drawing one
    deterministic: bool = True

    def policy(self, rows: Rows, spec: Spec) -> BasePolicy:
        """The policy to ask in the world of `rows`."""
        raise NotImplementedError

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        self.asked = self.policy(rows, spec)
        self.spec = spec
        rows_per_seed = rows.count // len(seeds)
        self.generators = SeedGenerators(seeds, "expert planner", rows_per_seed)
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if self.spec.actions:
            action = np.zeros(len(rows), np.int64)
        else:
            action = np.zeros((len(rows), self.spec.action_size), np.float32)
        # one call per seed: results may differ in the last bit with the batch size
        for generator, own in self.generators.by_seed(rows):
            if own.any():
                asked = self._ask(obs[own], generator)
                action[own] = asked.reshape(-1, *action.shape[1:])
        return action

    def _seen(self, obs: np.ndarray) -> Any:
        """What the policy sees of observations [n, *O]."""
        return obs

    def _ask(self, obs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        seen = self._seen(obs)
        if self.deterministic:
            return actions_of(self.asked, seen)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(generator.integers(2**63)))
            return actions_of(self.asked, seen, deterministic=False)

    def state(self) -> State:
        return {"generators": self.generators.state()}

    def load(self, state: State) -> None:
        self.generators.load(state["generators"])


class TrainedExpert(Expert, ExpertSettings):
    """An expert that is trained in the world it acts in, once for each setting."""

    def check_world(self, world: World) -> None:
        self.check(world)

    def policy(self, rows: Rows, spec: Spec) -> BasePolicy:
        return trained_policy(self, rows)

    def check(self, world: World) -> None:
        super().check(world)
        check_world(self, world)

    def train(self, world: World, folder: Path) -> Trained:
        return training.train(self, world, folder)

    def restore(self, weights: dict[str, np.ndarray], rows: Rows) -> BasePolicy:
        with isolated():  # a new network draws weights
            policy = build_policy(
                self, rows.single_observation_space, rows.single_action_space
            )
        expected = training.acting(snapshot.arrays_of(policy.state_dict()))
        storage.require_same(expected, weights)
        policy.load_state_dict(snapshot.tensors_of(weights), strict=False)
        policy.set_training_mode(False)
        return policy
