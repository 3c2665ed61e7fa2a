"""Any model that Stable-Baselines3 or sb3-contrib saved, given by its zip."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.policies import BasePolicy

from curriculum.planners._expert.expert import Expert
from curriculum.planners._expert.observations import View
from curriculum.planners._expert.policies import (
    check_fits,
    read_normalizer,
    read_policy,
)
from curriculum.types import Rows, Spec, World


@dataclass(kw_only=True)
class SB3(Expert):
    """The zip determines the network. Zips contain pickles, which can run any code when
    they are read: they are refused unless you give --trust.

    A model trained in a Gymnasium environment sees what that environment gives. Models
    with memory (RecurrentPPO) are refused."""

    path: str = ""  # of the zip
    # path of the file that VecNormalize saved, such as vecnormalize.pkl; a model that
    # was trained with one acts at random without it. It is a pickle as well
    normalize: str = ""
    # take the most likely action; otherwise draw from the policy if it is stochastic
    deterministic: bool = True

    def check_world(self, world: World) -> None:
        self._read(world)
        self._hint()

    def policy(self, rows: Rows, spec: Spec) -> BasePolicy:
        policy, self.view = self._read(rows.world)
        self.normalizer = None
        if self.normalize:
            self.normalizer = read_normalizer(
                Path(self.normalize), policy.observation_space
            )
        return policy

    def _read(self, world: World) -> tuple[BasePolicy, View]:
        if not self.path:
            raise ValueError(
                "sb3 needs the zip of a saved model: --planner.path model.zip"
            )
        policy = read_policy(Path(self.path))
        view = check_fits(policy, world, self.path)
        if self.normalize:
            read_normalizer(Path(self.normalize), policy.observation_space)
        return policy, view

    def _hint(self) -> None:
        """Say where statistics lie that were probably saved with the model."""
        if self.normalize:
            return
        folder = Path(self.path).parent
        # beside the zip, or in a folder there as RL Baselines3 Zoo has it
        found = sorted(
            [*folder.glob("*normalize*.pkl"), *folder.glob("*/vecnormalize.pkl")]
        )
        if found:
            print(
                f"sb3: if {self.path} was trained with VecNormalize, give its "
                f"statistics: --planner.normalize {found[0]}",
                file=sys.stderr,
            )

    def _seen(self, obs: np.ndarray) -> Any:
        seen = self.view(obs)
        if self.normalizer is None:
            return seen
        return self.normalizer.normalize_obs(seen)
