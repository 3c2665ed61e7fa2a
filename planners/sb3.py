"""Any model that Stable-Baselines3 or sb3-contrib saved: give its zip with
`--planner.path`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.save_util import load_from_pkl
from stable_baselines3.common.vec_env import VecNormalize

from curriculum.planners._expert.expert import Expert, read_policy
from curriculum.types import Rows, Spec


@dataclass(kw_only=True)
class SB3(Expert):
    """The zip says itself which network it holds. It holds pickles, which can run any
    code: read none you do not trust.

    One with memory (RecurrentPPO) is refused."""

    path: str = ""  # of the zip
    # of the file that VecNormalize saved, if it was trained with one: a pickle as well
    normalize: str = ""
    # the most likely action; otherwise draw from the policy, where it is a random one
    deterministic: bool = True

    name: ClassVar[str] = "sb3"

    def policy(self, env: Rows, spec: Spec) -> BasePolicy:
        """Read the zip, and check that it fits."""
        if not self.path:
            raise ValueError(
                "sb3 needs the zip of a saved model: --planner.path model.zip"
            )
        policy = read_policy(Path(self.path))
        _check(policy, spec, self.path)
        self.normalizer = _normalizer(Path(self.normalize)) if self.normalize else None
        return policy

    def _ask(self, obs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return super()._ask(
            self.normalizer.normalize_obs(obs) if self.normalizer else obs, generator
        )  # type: ignore


def _check(policy: BasePolicy, spec: Spec, path: str) -> None:
    """Raise ValueError where a policy does not fit a world."""
    seen, acted = policy.observation_space, policy.action_space
    if hasattr(policy, "lstm_actor"):
        raise ValueError(
            f"{path} holds a policy with memory, which sb3 cannot ask; train one without"
        )
    if seen.shape != spec.obs_shape or (seen.dtype == np.uint8) != (
        spec.obs_dtype == "uint8"
    ):
        given = f"{spec.obs_dtype} {list(spec.obs_shape)}"
        raise ValueError(
            f"{path} was trained on observations {seen}, this world gives {given}; train one in this world"
        )
    if spec.actions:
        fits = acted.shape == () and getattr(acted, "n", 0) == spec.actions
    else:
        fits = (
            hasattr(acted, "is_bounded")
            and acted.is_bounded()
            and int(np.prod(acted.shape or ())) == spec.action_size
        )
    if not fits:
        wanted = (
            f"one of {spec.actions}"
            if spec.actions
            else f"{spec.action_size} numbers within bounds"
        )
        raise ValueError(
            f"{path} was trained to act in {acted}, this world takes {wanted}; train one in this world"
        )


def _normalizer(path: Path) -> VecNormalize:
    """The statistics of a saved VecNormalize."""
    if not path.is_file():
        raise ValueError(
            f"there is no file {path}; give the one that VecNormalize saved"
        )
    try:
        found = load_from_pkl(path)
    except Exception as error:  # unpickling may raise anything
        raise ValueError(
            f"{path} is not a file that VecNormalize saved ({type(error).__name__}: {error})"
        ) from None
    if not isinstance(found, VecNormalize):
        raise ValueError(
            f"{path} holds a {type(found).__name__}, not the VecNormalize that a model was trained with"
        )
    return found
