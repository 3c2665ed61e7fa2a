"""Experts of Stable-Baselines3: how one acts, where it is kept, and how it is read.

A trained expert lies in `<cache>/<world>-<planner>-<hash>/`: `model.zip`, in the
library's own format, and `expert.json`, which says what it is and how good. Files of
that library are the only ones in this package that hold pickles, which can run any code
when they are read: give `--planner sb3` none whose author you do not trust.
"""

import hashlib
import json
import sys
import tempfile
import time
import zipfile
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.save_util import load_from_zip_file

from curriculum.planners._expert.training import actions_of, train, undisturbed
from curriculum.types import Rows, Spec, State, stream, within

FORMAT = 1  # of the folder
# of a zip, to act
NEEDED = (
    "policy_class",
    "observation_space",
    "action_space",
    "policy_kwargs",
    "use_sde",
)
# of a model, what says nothing about how it acts and would make two equal ones differ
SPENT = (
    "ep_info_buffer",
    "ep_success_buffer",
    "_last_obs",
    "_last_original_obs",
    "_last_episode_starts",
    "start_time",
)

# by folder: a run sets its planner up several times
_LOADED: dict[Path, BasePolicy] = {}
# the folder of a world as it is measured -> that of the world as it is trained in
_MEASURED: dict[Path, Path] = {}


class Expert:
    """A planner that asks a policy. A plug-in is a dataclass that adds the values, and
    what its `algorithm` needs."""

    needs: ClassVar[str] = "observation"
    name: ClassVar[str]
    algorithm: ClassVar[type[OffPolicyAlgorithm]]
    discrete: ClassVar[bool]  # which actions the algorithm takes
    deterministic: bool = True

    until_success: float
    until_return: float | None
    max_steps: int
    eval_every: int
    eval_episodes: int
    rows: int
    updates_per_step: float
    learning_rate: float
    batch_size: int
    hidden: tuple[int, ...]
    discount: float
    learning_starts: int
    capacity: int
    seed: int
    cache: str

    def settings(self) -> dict[str, Any]:
        """What the algorithm's constructor takes beyond what all of them do."""
        return {}

    def policy(self, env: Rows, spec: Spec) -> BasePolicy:
        """Whom to ask: one that was trained in the world of `env`, now or before."""
        return trained(self, env.world)

    def setup(self, env: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        """Get the policy, and a generator for every seed."""
        self.asked, self.spec, self.rows_each = (
            self.policy(env, spec),
            spec,
            env.count // len(seeds),
        )
        self.generators = [stream(seed, "expert planner") for seed in seeds]
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Actions [n] int64, or [n, A] float32 in [-1, 1]."""
        shape, dtype = (
            ((), np.int64)
            if self.spec.actions
            else ((self.spec.action_size,), np.float32)
        )
        action = np.zeros((len(rows), *shape), dtype)
        # one by one: other batches may be rounded otherwise
        for seed, generator in enumerate(self.generators):
            own = rows // self.rows_each == seed
            if own.any():
                action[own] = self._ask(obs[own], generator).reshape(-1, *shape)
        return action

    def _ask(self, obs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        if self.deterministic:
            return actions_of(self.asked, obs)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(generator.integers(2**63)))
            return actions_of(self.asked, obs, deterministic=False)

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


def trained(expert: Expert, world: Any) -> BasePolicy:
    """The policy of `expert` in `world`: the one in memory, the one in the cache, or a
    new one.

    Raises ValueError where the settings or the world do not fit, where a new one ends
    below the level asked for, and where the one in the cache is damaged."""
    _check(expert, world)
    folder = _folder(expert, world)
    if (
        hasattr(world, "evaluated")
        and (measured := _folder(expert, world.evaluated())) != folder
    ):
        _MEASURED[measured] = folder
    folder = _MEASURED.get(folder, folder)
    if folder not in _LOADED:
        if folder.exists():
            print(
                f"{expert.name} acts as trained before, see {folder}", file=sys.stderr
            )
        else:
            _train_into(folder, expert, world)
        _LOADED[folder] = _read(folder)
    return _LOADED[folder]


def configuration(expert: Expert, world: Any) -> dict[str, Any]:
    """All settings that decide which expert it becomes: not where it is kept, nor how
    it is asked."""
    own = {
        name: value
        for name, value in _settings(expert).items()
        if name not in ("cache", "deterministic")
    }
    place = {
        "class": f"{type(world).__module__}:{type(world).__qualname__}",
        **_settings(world),
    }
    libraries = {
        name: version(name) for name in ("stable-baselines3", "sb3-contrib", "torch")
    }
    return {
        "format": FORMAT,
        "planner": expert.name,
        **own,
        "world": place,
        "libraries": libraries,
    }


def read_policy(path: Path) -> BasePolicy:
    """The policy in a zip of any algorithm; nothing is unpickled that it does not need
    in order to act.

    Raises ValueError where there is no such file or none that can be read."""
    if not path.is_file():
        raise ValueError(
            f"there is no file {path}; give the zip that a model of Stable-Baselines3 was saved to"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            unread = {
                name: None
                for name in json.loads(archive.read("data"))
                if name not in NEEDED
            }
        # a new network draws weights before it gets those of the file
        with undisturbed():
            data, weights, _ = load_from_zip_file(
                path, custom_objects=unread, device="cpu"
            )
            assert data is not None
            build, given = data["policy_class"], dict(data["policy_kwargs"])
            if issubclass(build, ActorCriticPolicy):
                given["use_sde"] = data["use_sde"]
            policy = build(
                data["observation_space"], data["action_space"], lambda _: 0.0, **given
            )
            policy.load_state_dict(weights["policy"])
    except Exception as error:  # unpickling may raise anything
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise ValueError(
            f"{path} is no zip that this version of Stable-Baselines3 can read ({reason})"
        ) from None
    return policy


def _check(expert: Expert, world: Any) -> None:
    infinity = float("inf")
    within(expert, 0, 1, "until_success", "discount")
    within(
        expert,
        1,
        infinity,
        "max_steps",
        "eval_every",
        "eval_episodes",
        "rows",
        "batch_size",
        "capacity",
    )
    within(expert, 0, infinity, "learning_starts", "learning_rate")
    within(expert, 0, 2**32 - 1, "seed")
    if not expert.updates_per_step > 0:
        raise ValueError(
            f"updates_per_step must be positive, got {expert.updates_per_step:g}"
        )
    if hasattr(world.action_space, "n") != expert.discrete:
        needed, others = (
            ("discrete", "sac, tqc or crossq")
            if expert.discrete
            else ("box", "dqn or qrdqn")
        )
        raise ValueError(
            f"{expert.name} needs {needed} actions, those of {world} are {world.action_space}; choose {others}"
        )
    if expert.until_success and not getattr(world, "has_success", True):
        raise ValueError(
            f"{world} does not tell success; ask for a return instead: --planner.until-return"
        )


def _settings(settings: Any) -> dict[str, Any]:
    """Fields as JSON gives them back."""
    assert is_dataclass(settings), f"{settings} is no dataclass"
    plain = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return json.loads(
        json.dumps(
            plain, default=lambda value: getattr(value, "tolist", value.__repr__)()
        )
    )


def _folder(expert: Expert, world: Any) -> Path:
    written = json.dumps(configuration(expert, world), sort_keys=True)
    title = getattr(world, "title", type(world).__name__.lower()).replace("/", "-")
    name = f"{title}-{expert.name}-{hashlib.sha256(written.encode()).hexdigest()[:12]}"
    return Path(expert.cache).resolve() / name


def _train_into(folder: Path, expert: Expert, world: Any) -> None:
    began = time.perf_counter()
    model, levels = train(expert, world)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as unfinished:
        new = Path(unfinished) / folder.name
        new.mkdir()
        model.save(new / "model.zip", exclude=SPENT)
        told: dict[str, Any] = {
            name: {**level._asdict(), "episodes": expert.eval_episodes}
            for name, level in levels.items()
        }
        told |= {
            "seconds": round(time.perf_counter() - began, 1),
            "sha256": _digest(new / "model.zip"),
        }
        (new / "expert.json").write_text(
            json.dumps(told | configuration(expert, world), indent=2) + "\n"
        )
        if not folder.exists():  # whoever trained the same meanwhile was first
            new.rename(folder)


def _read(folder: Path) -> BasePolicy:
    try:
        sound = json.loads((folder / "expert.json").read_text())["sha256"] == _digest(
            folder / "model.zip"
        )
    except (OSError, ValueError, KeyError):
        sound = False
    if not sound:
        raise ValueError(
            f"the expert in {folder} is damaged; remove the folder, and it is trained again"
        )
    return read_policy(folder / "model.zip")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
