"""Recorded: the world of a data set as its manifest describes it. It need not be
installed, and cannot be played."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from curriculum.data.manifest import Manifest
from curriculum.storage import data_at
from curriculum.types import Rows, World


@dataclass(kw_only=True)
class Recorded(World):
    """Spaces of observations and actions, for training with `--no-evaluation`."""

    path: str = ""  # folder of the data set

    @property
    def defaults(self) -> Mapping[str, Any]:
        return {"planner": "random", "learner": "iql"}

    @property
    def has_success(self) -> bool:
        return False

    @property
    def max_steps(self) -> int:
        return 0

    @property
    def frames(self) -> int:
        return self._manifest().spec.frames

    @property
    def title(self) -> str:
        manifest = self._manifest()
        name = manifest.env_settings.get("id") or manifest.env
        return str(name or Path(self.path).resolve().name)

    @property
    def observation_space(self) -> gym.spaces.Box:
        spec = self._manifest().spec
        dtype: Any = np.dtype(spec.obs_dtype)
        low = spec.obs_low.astype(dtype)
        high = spec.obs_high.astype(dtype)
        return gym.spaces.Box(low, high, dtype=dtype)

    @property
    def action_space(self) -> gym.spaces.Discrete | gym.spaces.Box:
        spec = self._manifest().spec
        if spec.actions:
            return gym.spaces.Discrete(spec.actions)
        return gym.spaces.Box(-1.0, 1.0, (spec.action_size,))

    def rows(
        self, generators: Sequence[np.random.Generator], rows_per_seed: int = 1
    ) -> Rows:
        raise ValueError(
            f"the world of the data set {self.path} is known from its manifest alone "
            "and cannot be played; name a world that is installed by --env, or train "
            "without it: --steps 0 --no-evaluation"
        )

    def _manifest(self) -> Manifest:
        if not self.path:
            raise ValueError(
                "--env recorded needs the folder of a data set: --env.path DATA"
            )
        return Manifest.read(data_at(self.path))
