"""Where trained experts are kept, and how they are found again.

A trained expert is a folder `<cache>/<world>-<planner>-<hash>/` of two files:
`policy.safetensors`, the weights that act, and `expert.json`, its settings and its
performance. The hash is of all settings, of the world and of the libraries' versions.
While it trains, its progress is in the folder `.<world>-<planner>-<hash>.training/`.
"""

import hashlib
import json
import shutil
import sys
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy

from curriculum.activity import announce
from curriculum.planners._expert import progress, storage
from curriculum.planners._expert.lock import locked
from curriculum.planners._expert.model import build_policy, check_observations
from curriculum.planners._expert.policies import isolated
from curriculum.planners._expert.settings import ExpertSettings
from curriculum.planners._expert.snapshot import arrays_of, tensors_of
from curriculum.planners._expert.training import NotReached, Trained, train
from curriculum.types import Rows, World

FORMAT = 2  # of the folder
PICKLES = 1  # the format that held pickles, which are never read
WEIGHTS = "policy.safetensors"
REPORT = "expert.json"
LIBRARIES = ("stable-baselines3", "sb3-contrib", "torch")
# fields that decide where an expert is kept and how it is asked, not what it becomes
NOT_IDENTITY = ("cache", "deterministic")
# names of the weights that act; critics and target networks are not kept
ACTING = ("actor.", "q_net.", "quantile_net.")

# policies by folder: a run sets its planner up several times
_loaded: dict[Path, BasePolicy] = {}
# folder for a world as it is evaluated -> folder for the world as it is trained in
_trained_in: dict[Path, Path] = {}


def trained_policy(expert: ExpertSettings, rows: Rows) -> BasePolicy:
    """The policy of `expert` in the world of `rows`: from memory, from the cache, or
    newly trained.

    Raises ValueError where the settings or the world do not fit, where training does
    not reach its goals, and where the cached expert is damaged."""
    world: World = rows.world
    check(expert, world)
    folder = folder_of(expert, world)
    folder_evaluated = folder_of(expert, world.evaluated())
    if folder_evaluated != folder:
        _trained_in[folder_evaluated] = folder
    folder = _trained_in.get(folder, folder)
    if folder not in _loaded:
        if folder.exists():
            announce(f"{expert.name} was trained before: {folder}")
        else:
            _warn_of_pickles(expert, world)
            _train_into(folder, expert, world)
        _loaded[folder] = _read(folder, expert, rows)
    return _loaded[folder]


def check(expert: ExpertSettings, world: World) -> None:
    """Raise ValueError where the settings or the world do not fit."""
    expert.check_ranges()
    _check_world(expert, world)
    check_observations(expert, world.observation_space)


def folder_of(expert: ExpertSettings, world: World, form: int | None = None) -> Path:
    """The folder in which `expert` for `world` is kept, in the current format."""
    settings = configuration(expert, world)
    if form is not None:
        settings["format"] = form
    written = json.dumps(settings, sort_keys=True)
    digest = hashlib.sha256(written.encode()).hexdigest()[:12]
    title = world.title or type(world).__name__.lower()
    title = title.replace("/", "-")
    return Path(expert.cache).resolve() / f"{title}-{expert.name}-{digest}"


def configuration(expert: ExpertSettings, world: World) -> dict[str, Any]:
    """Everything that decides which expert training gives."""
    world_class = f"{type(world).__module__}:{type(world).__qualname__}"
    settings = _fields_as_json(expert)
    for name in NOT_IDENTITY:
        settings.pop(name, None)
    return {
        "format": FORMAT,
        "planner": expert.name,
        **settings,
        "world": {"class": world_class, **_fields_as_json(world)},
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def _check_world(expert: ExpertSettings, world: World) -> None:
    discrete = isinstance(world.action_space, spaces.Discrete)
    if discrete != expert.discrete:
        if expert.discrete:
            needed = "discrete"
            others = "sac, tqc or crossq"
        else:
            needed = "box"
            others = "dqn or qrdqn"
        raise ValueError(
            f"{expert.name} needs {needed} actions, those of {world} are "
            f"{world.action_space}; choose {others}"
        )
    if expert.until_success and not world.has_success:
        raise ValueError(
            f"{world} does not report success; "
            "set a return as the goal instead: --planner.until-return"
        )


def _fields_as_json(settings: Any) -> dict[str, Any]:
    """The fields of a dataclass as they are after a round trip through JSON."""
    assert is_dataclass(settings), f"{settings} is not a dataclass"
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return json.loads(json.dumps(values, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return repr(value)


def _warn_of_pickles(expert: ExpertSettings, world: World) -> None:
    old = folder_of(expert, world, PICKLES)
    if old.exists():
        print(
            f"{old} was written by an earlier version as a pickle, which is not read; "
            "the expert is trained again, and that folder can be removed",
            file=sys.stderr,
        )


def _train_into(folder: Path, expert: ExpertSettings, world: World) -> None:
    """Train, and write a folder that exists only when it is complete.

    What can be continued is kept where training is interrupted."""
    unfinished = folder.with_name(f".{folder.name}.training")
    with locked(unfinished):
        try:
            if not folder.exists():  # another process may have trained it meanwhile
                draft = unfinished / "expert"
                trained = train(expert, world, unfinished)
                _write(draft, expert, world, trained)
                draft.rename(folder)
        except NotReached:  # it would end the same way again
            shutil.rmtree(unfinished)
            raise
        finally:
            if folder.exists() or not (unfinished / progress.MANIFEST).exists():
                shutil.rmtree(unfinished, ignore_errors=True)


def _write(
    folder: Path, expert: ExpertSettings, world: World, trained: Trained
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    weights = _acting(arrays_of(trained.policy.state_dict()))
    entry = storage.write_arrays(folder / WEIGHTS, weights)
    episodes = {"episodes": expert.eval_episodes}
    report = {
        "reached": trained.reached._asdict() | episodes,
        "other_episodes": trained.other_episodes._asdict() | episodes,
        "seconds": round(trained.seconds, 1),
        "weights": entry,
        **configuration(expert, world),
    }
    storage.write_json(folder / REPORT, report)


def _read(folder: Path, expert: ExpertSettings, rows: Rows) -> BasePolicy:
    """Build the policy of an expert from its settings and give it the weights kept.

    Nothing is unpickled: weights are arrays, and must be those that the policy has."""
    with isolated():  # a new network draws weights
        policy = build_policy(
            expert, rows.single_observation_space, rows.single_action_space
        )
    expected = _acting(arrays_of(policy.state_dict()))
    try:
        report = storage.read_json(folder / REPORT)
        found, _ = storage.read_arrays(folder, report["weights"])
        _require_same(expected, found)
    except (storage.Damaged, KeyError) as error:
        raise ValueError(
            f"the expert in {folder} is damaged ({error}); "
            "remove the folder to train it again"
        ) from None
    policy.load_state_dict(tensors_of(found), strict=False)
    policy.set_training_mode(False)
    return policy


def _acting(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array for name, array in weights.items() if name.startswith(ACTING)}


def _require_same(
    expected: dict[str, np.ndarray], found: dict[str, np.ndarray]
) -> None:
    """Raise Damaged where names, shapes or dtypes of weights are not as expected."""
    if expected.keys() != found.keys():
        different = sorted(expected.keys() ^ found.keys())
        raise storage.Damaged(f"other weights: {', '.join(different)}")
    for name, array in expected.items():
        other = found[name]
        if array.shape != other.shape or array.dtype != other.dtype:
            raise storage.Damaged(
                f"{name} is {other.dtype}{list(other.shape)}, "
                f"expected {array.dtype}{list(array.shape)}"
            )
        if not np.isfinite(other).all():
            raise storage.Damaged(f"{name} holds numbers that are not finite")
