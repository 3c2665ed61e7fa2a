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

from curriculum.activity import announce
from curriculum.planners._expert import storage
from curriculum.planners._expert.goals import Goals, Trained
from curriculum.planners._expert.levels import NotReached
from curriculum.planners._expert.lock import locked
from curriculum.types import Rows, World

FORMAT = 2  # of the folder
PICKLES = 1  # the format that held pickles, which are never read
WEIGHTS = "policy.safetensors"
REPORT = "expert.json"
# fields that decide where an expert is kept and how it is asked, not what it becomes
NOT_IDENTITY = ("cache", "deterministic")

# policies by folder: a run sets its planner up several times
_loaded: dict[Path, Any] = {}
# folder for a world as it is evaluated -> folder for the world as it is trained in
_trained_in: dict[Path, Path] = {}


def trained_policy(expert: Goals, rows: Rows) -> Any:
    """The policy of `expert` in the world of `rows`: from memory, from the cache, or
    newly trained.

    Raises ValueError where the settings or the world do not fit, where training does
    not reach its goals, and where the cached expert is damaged."""
    world: World = rows.world
    expert.check(world)
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


def folder_of(expert: Goals, world: World, form: int | None = None) -> Path:
    """The folder in which `expert` for `world` is kept, in the current format."""
    settings = configuration(expert, world)
    if form is not None:
        settings["format"] = form
    written = json.dumps(settings, sort_keys=True)
    digest = hashlib.sha256(written.encode()).hexdigest()[:12]
    title = world.title or type(world).__name__.lower()
    title = title.replace("/", "-")
    return Path(expert.cache).resolve() / f"{title}-{expert.name}-{digest}"


def configuration(expert: Goals, world: World) -> dict[str, Any]:
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
        "libraries": {name: version(name) for name in expert.libraries},
    }


def _fields_as_json(settings: Any) -> dict[str, Any]:
    """The fields of a dataclass as they are after a round trip through JSON."""
    assert is_dataclass(settings), f"{settings} is not a dataclass"
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return json.loads(json.dumps(values, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return repr(value)


def _warn_of_pickles(expert: Goals, world: World) -> None:
    old = folder_of(expert, world, PICKLES)
    if old.exists():
        print(
            f"{old} was written by an earlier version as a pickle, which is not read; "
            "the expert is trained again, and that folder can be removed",
            file=sys.stderr,
        )


def _train_into(folder: Path, expert: Goals, world: World) -> None:
    """Train, and write a folder that exists only when it is complete.

    What can be continued is kept where training is interrupted."""
    unfinished = folder.with_name(f".{folder.name}.training")
    with locked(unfinished):
        try:
            if not folder.exists():  # another process may have trained it meanwhile
                draft = unfinished / "expert"
                trained = expert.train(world, unfinished)
                _write(draft, expert, world, trained)
                draft.rename(folder)
        except NotReached:  # it would end the same way again
            shutil.rmtree(unfinished)
            raise
        finally:
            if folder.exists() or not (unfinished / storage.MANIFEST).exists():
                shutil.rmtree(unfinished, ignore_errors=True)


def _write(folder: Path, expert: Goals, world: World, trained: Trained) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    entry = storage.write_arrays(folder / WEIGHTS, trained.weights)
    episodes = {"episodes": expert.eval_episodes}
    report = {
        "reached": trained.reached._asdict() | episodes,
        "other_episodes": trained.other_episodes._asdict() | episodes,
        "seconds": round(trained.seconds, 1),
        "weights": entry,
        **configuration(expert, world),
    }
    storage.write_json(folder / REPORT, report)


def _read(folder: Path, expert: Goals, rows: Rows) -> Any:
    """Build the policy of an expert from the weights kept; nothing is unpickled."""
    try:
        report = storage.read_json(folder / REPORT)
        found, _ = storage.read_arrays(folder, report["weights"])
        return expert.restore(found, rows)
    except (storage.Damaged, KeyError) as error:
        raise ValueError(
            f"the expert in {folder} is damaged ({error}); "
            "remove the folder to train it again"
        ) from None
