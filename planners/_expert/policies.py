"""Policies of Stable-Baselines3: read from zips, checked against a world, and asked.

Zips of that library and files of VecNormalize are the only files that this package
unpickles. Pickles can run any code, so they are read only if the user trusts them.
"""

import json
import random
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.save_util import load_from_pkl, load_from_zip_file
from stable_baselines3.common.vec_env import VecNormalize

from curriculum.envs._base.spec import spec_of
from curriculum.planners._expert.observations import (
    View,
    described,
    same_kind,
    view_for,
)
from curriculum.trust import require_trust
from curriculum.types import Spec, World

# entries of a zip that acting needs; the others are not unpickled
NEEDED = (
    "policy_class",
    "observation_space",
    "action_space",
    "policy_kwargs",
    "use_sde",
)


def actions_of(
    policy: BasePolicy,
    obs: np.ndarray | dict[str, np.ndarray],
    deterministic: bool = True,
) -> np.ndarray:
    """A policy's actions [n], or [n, *A] scaled from its own bounds to [-1, 1]."""
    action, _ = policy.predict(obs, deterministic=deterministic)
    if isinstance(policy.action_space, spaces.Discrete):
        return action
    return np.clip(policy.scale_action(action), -1, 1)


def read_policy(path: Path) -> BasePolicy:
    """Read the policy in a zip of any algorithm, and unpickle only what acting needs.

    Raises ValueError where it does not exist, is not trusted or cannot be read."""
    require_zip(path)
    require_trust(f"the zip {path}")
    try:
        return _read_zip(path)
    except Exception as error:  # unpickling may raise anything
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise ValueError(
            f"{path} is not a zip that this version of Stable-Baselines3 can read "
            f"({reason})"
        ) from None


def require_zip(path: Path) -> None:
    """Raise ValueError where a file does not exist or is no zip of the library."""
    if not path.is_file():
        raise ValueError(
            f"there is no file {path}; "
            "give the zip that a model of Stable-Baselines3 was saved to"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            archive.getinfo("data")
    except (zipfile.BadZipFile, KeyError, OSError):
        raise ValueError(
            f"{path} is not a zip that a model of Stable-Baselines3 was saved to"
        ) from None


def _read_zip(path: Path) -> BasePolicy:
    with zipfile.ZipFile(path) as archive:
        entries = json.loads(archive.read("data"))
    skipped = {name: None for name in entries if name not in NEEDED}
    # a new network draws weights before it gets those of the file
    with isolated():
        data, weights, _ = load_from_zip_file(
            path, custom_objects=skipped, device="cpu"
        )
        assert data is not None
        policy_class = data["policy_class"]
        arguments = dict(data["policy_kwargs"])
        if issubclass(policy_class, ActorCriticPolicy):
            arguments["use_sde"] = data["use_sde"]
        policy = policy_class(
            data["observation_space"],
            data["action_space"],
            lambda _: 0.0,  # learning rate
            **arguments,
        )
        policy.load_state_dict(weights["policy"])
    return policy


def read_normalizer(path: Path, seen: spaces.Space) -> VecNormalize:
    """Read the statistics that VecNormalize saved, a pickle.

    Raises ValueError where the file does not exist, is not trusted, holds something
    else, or was saved for other observations than `seen`."""
    if not path.is_file():
        raise ValueError(
            f"there is no file {path}; give the one that VecNormalize saved"
        )
    require_trust(f"the file {path}")
    try:
        found = load_from_pkl(path)
    except Exception as error:  # unpickling may raise anything
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise ValueError(
            f"{path} is not a file that VecNormalize saved ({reason})"
        ) from None
    if not isinstance(found, VecNormalize):
        raise ValueError(
            f"{path} holds a {type(found).__name__}, "
            "not the VecNormalize that a model was trained with"
        )
    if not same_kind(seen, found.observation_space):
        raise ValueError(
            f"{path} was saved for observations {found.observation_space}, "
            f"the model sees {seen}; give the file that was saved with the model"
        )
    return found


def check_fits(policy: BasePolicy, world: World, path: str) -> View:
    """What the policy read from `path` sees of a world; ValueError where it does not
    fit."""
    if isinstance(policy, RecurrentActorCriticPolicy):
        raise ValueError(
            f"{path} holds a policy with memory, which sb3 cannot ask; "
            "train one without"
        )
    view = view_for(policy.observation_space, world)
    if view is None:
        raise ValueError(
            f"{path} was trained on observations {policy.observation_space}, "
            f"this world gives {described(world)}; train one in this world"
        )
    spec = spec_of(world)
    if not _acts_in(policy.action_space, spec):
        if spec.actions:
            wanted = f"one of {spec.actions}"
        else:
            wanted = f"{spec.action_size} numbers within bounds"
        raise ValueError(
            f"{path} was trained to act in {policy.action_space}, "
            f"this world takes {wanted}; train one in this world"
        )
    return view


def _acts_in(space: spaces.Space, spec: Spec) -> bool:
    """Whether actions of `space` are actions of a world."""
    if isinstance(space, spaces.Discrete):
        return spec.actions == space.n
    if not isinstance(space, spaces.Box) or spec.actions:
        return False
    return space.is_bounded() and np.prod(space.shape) == spec.action_size


@contextmanager
def isolated() -> Iterator[None]:
    """Restore the global random generators, which Stable-Baselines3 seeds, and the
    number of threads afterwards.

    Torch uses one thread inside: results do not depend on how many there are."""
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_num_threads(threads)
