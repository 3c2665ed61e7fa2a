"""An advisor without a learner, for planners that listen to one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from curriculum.types import Advisor, Spec, State, stream

SILENT = 3  # steps before it is ready


class Counsel(Advisor):
    """Values depend on the seed and the observation alone, proposals are draws."""

    def __init__(self, spec: Spec, seeds: Sequence[int]) -> None:
        self.spec = spec
        self.has_values = True
        self.discount = 0.95
        self.reward_shift = 0.0
        self.generators = [stream(seed, "counsel") for seed in seeds]
        self.trust = np.array([(seed % 3) / 2 for seed in seeds])
        size = int(np.prod(spec.obs_shape))
        self.weights = np.stack(
            [stream(seed, "counsel weights").standard_normal(size) for seed in seeds]
        )
        self.steps = 0

    @property
    def is_ready(self) -> bool:  # type: ignore[override]
        return self.steps >= SILENT

    def values(self, obs: np.ndarray, seed: np.ndarray) -> np.ndarray:
        self._check("values", obs, seed)
        flat = np.tanh(obs.reshape(len(obs), -1).astype(np.float64))
        return (flat * self.weights[seed]).sum(-1)

    def propose(self, obs: np.ndarray, seed: np.ndarray, count: int) -> np.ndarray:
        self._check("propose", obs, seed)
        size = (count, self.spec.action_size) if self.spec.action_size else (count,)
        numbers = np.bincount(seed, minlength=len(self.generators))
        pairs = zip(self.generators, numbers, strict=True)
        drawn = np.concatenate([g.random((number, *size)) for g, number in pairs])
        if self.spec.actions:
            return (drawn * self.spec.actions).astype(np.int64)
        return (2 * drawn - 1).astype(np.float32)

    def _check(self, method: str, obs: Any, seed: Any) -> None:
        """Raise ValueError for a question that is not as it should be."""
        spec = self.spec
        wanted = ""
        if not isinstance(obs, np.ndarray) or obs.shape[1:] != spec.obs_shape:
            shape = ("n", *spec.obs_shape)
            wanted = f"observations of shape {shape}, got {np.shape(obs)}"
        elif np.shape(seed) != obs.shape[:1]:
            wanted = f"{len(obs)} indices of seeds, got shape {np.shape(seed)}"
        elif np.any(np.diff(seed) < 0):
            wanted = f"seeds in ascending order, got {seed}"
        elif not np.isin(seed, range(len(self.generators))).all():
            wanted = f"indices of {len(self.generators)} seeds, got {seed}"
        if wanted:
            raise ValueError(f"an advisor's {method} must be given {wanted}")

    def state(self) -> State:
        return {
            "steps": self.steps,
            "generators": [g.bit_generator.state for g in self.generators],
        }

    def load(self, state: State) -> None:
        self.steps = state["steps"]
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = saved
