"""Any model that Stable-Baselines3 or sb3-contrib saved, given by its zip."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from stable_baselines3.common.policies import BasePolicy

from curriculum.planners._expert.expert import Expert
from curriculum.planners._expert.policies import (
    check_fits,
    read_normalizer,
    read_policy,
)
from curriculum.types import Rows, Spec


@dataclass(kw_only=True)
class SB3(Expert):
    """The zip determines the network. Zips contain pickles, which can run any code when
    they are read: use only files that you trust.

    Models with memory (RecurrentPPO) are refused."""

    path: str = ""  # of the zip
    # path of the file that VecNormalize saved, if the model was trained with one; it is
    # a pickle as well
    normalize: str = ""
    # take the most likely action; otherwise draw from the policy if it is stochastic
    deterministic: bool = True

    def policy(self, rows: Rows, spec: Spec) -> BasePolicy:
        if not self.path:
            raise ValueError(
                "sb3 needs the zip of a saved model: --planner.path model.zip"
            )
        policy = read_policy(Path(self.path))
        check_fits(policy, spec, self.path)
        self.normalizer = None
        if self.normalize:
            self.normalizer = read_normalizer(Path(self.normalize))
        return policy

    def _ask(self, obs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        if self.normalizer is not None:
            obs = self.normalizer.normalize_obs(obs)  # type: ignore[assignment]
        return super()._ask(obs, generator)
