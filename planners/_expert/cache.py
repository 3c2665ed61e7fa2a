"""Where trained experts are kept, and how they are found again.

A trained expert is a folder `<cache>/<world>-<planner>-<hash>/` of two files:
`model.zip`, in the library's own format, and `expert.json`, its settings and its
performance. The hash is of all settings, of the world and of the libraries' versions.
"""

import hashlib
import json
import sys
import tempfile
import time
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy

from curriculum.planners._expert.policies import read_policy
from curriculum.planners._expert.settings import ExpertSettings
from curriculum.planners._expert.training import train
from curriculum.types import World

FORMAT = 1  # of the folder
LIBRARIES = ("stable-baselines3", "sb3-contrib", "torch")
# fields that decide where an expert is kept and how it is asked, not what it becomes
NOT_IDENTITY = ("cache", "deterministic")
# attributes of a model that do not affect how it acts and would make two equal models
# differ
NOT_SAVED = (
    "ep_info_buffer",
    "ep_success_buffer",
    "_last_obs",
    "_last_original_obs",
    "_last_episode_starts",
    "start_time",
)

# policies by folder: a run sets its planner up several times
_loaded: dict[Path, BasePolicy] = {}
# folder for a world as it is evaluated -> folder for the world as it is trained in
_trained_in: dict[Path, Path] = {}


def trained_policy(expert: ExpertSettings, world: World) -> BasePolicy:
    """The policy of `expert` in `world`: from memory, from the cache, or newly trained.

    Raises ValueError where the settings or the world do not fit, where training does
    not reach its goals, and where the cached expert is damaged."""
    expert.check()
    _check_world(expert, world)
    folder = folder_of(expert, world)
    folder_evaluated = folder_of(expert, world.evaluated())
    if folder_evaluated != folder:
        _trained_in[folder_evaluated] = folder
    folder = _trained_in.get(folder, folder)
    if folder not in _loaded:
        if folder.exists():
            print(f"{expert.name} was trained before: {folder}", file=sys.stderr)
        else:
            _train_into(folder, expert, world)
        _loaded[folder] = _read(folder)
    return _loaded[folder]


def folder_of(expert: ExpertSettings, world: World) -> Path:
    """The folder in which `expert` for `world` is kept."""
    written = json.dumps(configuration(expert, world), sort_keys=True)
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


def _train_into(folder: Path, expert: ExpertSettings, world: World) -> None:
    """Train, and write a folder that exists only when it is complete."""
    began = time.perf_counter()
    trained = train(expert, world)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as unfinished:
        new = Path(unfinished) / folder.name
        new.mkdir()
        trained.model.save(new / "model.zip", exclude=NOT_SAVED)
        episodes = {"episodes": expert.eval_episodes}
        report = {
            "reached": trained.reached._asdict() | episodes,
            "other_episodes": trained.other_episodes._asdict() | episodes,
            "seconds": round(time.perf_counter() - began, 1),
            "sha256": _digest(new / "model.zip"),
            **configuration(expert, world),
        }
        (new / "expert.json").write_text(json.dumps(report, indent=2) + "\n")
        if not folder.exists():  # another process may have trained the same meanwhile
            new.rename(folder)


def _read(folder: Path) -> BasePolicy:
    if not _is_intact(folder):
        raise ValueError(
            f"the expert in {folder} is damaged; remove the folder to train it again"
        )
    return read_policy(folder / "model.zip")


def _is_intact(folder: Path) -> bool:
    try:
        report = json.loads((folder / "expert.json").read_text())
        return report["sha256"] == _digest(folder / "model.zip")
    except (OSError, ValueError, KeyError):
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
