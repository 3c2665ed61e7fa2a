"""Convert data sets between our folders and the files of others."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.activity import Phase, phase
from curriculum.data import manifest as manifests
from curriculum.data.dataset import DataSet
from curriculum.data.manifest import Manifest
from curriculum.envs._base.native import Continuous
from curriculum.envs._base.spec import spec_of
from curriculum.run.drafts import writing
from curriculum.setting import plugins
from curriculum.types import Episode, Format, Spec, World

FOLDER = "folder"  # the name of our own form
MOST_PROBLEMS = 20  # that are printed


@dataclass(kw_only=True)
class Converting:
    """What is converted into what."""

    source: Path
    out: Path
    read_by: Format | None  # None: a folder of ours
    written_by: Format | None
    world: World | None = None  # in which the data were collected
    env: str = ""  # its name
    env_settings: dict[str, Any] = field(default_factory=dict)
    continuous: bool = False  # make discrete actions those of a box
    command: str = ""


def format_of(path: Path, chosen: str, is_input: bool) -> str:
    """The format of a file or folder: the one that was chosen, or what it looks like.

    ValueError lists the formats."""
    if is_input and not path.exists():
        raise ValueError(f"there is no data set {path}")
    names = [FOLDER, *plugins.names("format"), *plugins.installed("format")]
    if chosen:
        is_code = ":" in chosen or chosen.endswith(".py")
        if chosen not in names and not is_code:
            raise plugins.unknown("format", chosen, names)
        return chosen
    if is_input and (path / manifests.FILE).is_file():
        return FOLDER
    for name in names[1:]:
        made = plugins.make("format", name)
        looks = made.recognises(path) if is_input else path.name.endswith(made.suffixes)
        if looks:
            return name
    if not is_input:
        return FOLDER
    raise ValueError(
        f"{path} looks like none of the formats {', '.join(names)}; give --from"
    )


def convert(converting: Converting) -> int:
    """Convert a data set; returns the number of episodes that were left out."""
    problems = _Problems()
    if converting.read_by:
        notes = converting.read_by.metadata(converting.source)
        total = 0
        episodes = converting.read_by.read(converting.source, problems.report)
    else:
        data = DataSet(converting.source)
        notes = data.manifest.as_json()
        total = len(data)
        episodes = data.episodes()
    manifest = _manifest(converting, notes)
    spec = manifest.spec if "spec" in notes or converting.world else None
    with phase("convert", total, "episodes") as current:
        checked = _checked(episodes, spec, problems, current)
        if converting.continuous:
            checked, manifest = _as_continuous(converting, checked, manifest)
        if converting.written_by:
            _write_file(converting, checked, manifest)
        else:
            _write_folder(converting, checked, manifest, known=spec is not None)
    problems.close()
    return problems.count


class _Problems:
    """Prints why episodes are left out, the first ones in full."""

    def __init__(self) -> None:
        self.count = 0

    def report(self, problem: str) -> None:
        self.count += 1
        if self.count <= MOST_PROBLEMS:
            print(problem[:500], file=sys.stderr)

    def close(self) -> None:
        """Print how many there were."""
        if self.count:
            print(f"episodes left out: {self.count:,}", file=sys.stderr)


def _manifest(converting: Converting, notes: dict[str, Any]) -> Manifest:
    """The manifest of the result, as far as it is known before episodes are read."""
    world = converting.world
    spec = spec_of(world) if world else manifests.spec_of_notes(notes)
    if spec is None:
        nothing = np.zeros((0, 1), np.float32)
        spec = manifests.spec_of_arrays(nothing, nothing)
    return Manifest(
        spec=spec,
        env=converting.env or str(notes.get("env", "")),
        env_settings=converting.env_settings or dict(notes.get("env_settings", {})),
        sources=tuple(map(str, notes.get("sources", ("unknown",)))),
        seeds=tuple(notes.get("seeds", ())),
        reward=str(notes.get("reward", "")),
        command=converting.command,
    )


def _checked(
    episodes: Iterable[Episode],
    spec: Spec | None,
    problems: "_Problems",
    current: Phase,
) -> Iterator[Episode]:
    """The episodes that fit the spec, with its dtype of observations."""
    kept = 0
    for episode in episodes:
        current.advance()
        if spec is None:
            yield episode
            continue
        problem = _misfit(episode, spec)
        if problem:
            number = kept + problems.count  # those that were not read count, too
            problems.report(f"episode {number}: {problem}")
            continue
        kept += 1
        yield episode._replace(
            observation=episode.observation.astype(spec.obs_dtype, copy=False),
            next_observation=episode.next_observation.astype(
                spec.obs_dtype, copy=False
            ),
        )


def _misfit(episode: Episode, spec: Spec) -> str:
    """Why an episode cannot come from a world; empty if it can."""
    shape = episode.observation.shape[1:]
    if shape != spec.obs_shape:
        return f"its observations are {list(shape)}, those of the world are " + str(
            list(spec.obs_shape)
        )
    floats = [np.dtype(d).kind for d in (episode.observation.dtype, spec.obs_dtype)]
    if floats[0] != floats[1]:
        return (
            f"its observations are {episode.observation.dtype}, those of the world "
            f"are {spec.obs_dtype}"
        )
    action = episode.action
    if spec.actions:
        if action.ndim != 1 or action.dtype.kind not in "iu":
            return "its actions are not discrete, those of the world are"
        wrong = action[(action < 0) | (action >= spec.actions)]
        if wrong.size:
            return (
                f"it has the action {wrong[0]}, the world has actions 0 to "
                f"{spec.actions - 1}"
            )
    elif action.ndim != 2 or action.shape[1] != spec.action_size:
        return (
            f"its actions are not a box of {spec.action_size}, those of the world are"
        )
    return ""


def _as_continuous(
    converting: Converting, episodes: Iterable[Episode], manifest: Manifest
) -> tuple[Iterator[Episode], Manifest]:
    """The episodes with the box action in place of every discrete one."""
    world = converting.world
    if not isinstance(world, Continuous):
        name = converting.env or "none"
        raise ValueError(
            "--continuous needs the world of the data, with discrete actions that "
            f"stand for places, such as --env botevade; got --env {name}"
        )
    other, table = world.continuous()
    fields = vars(other)
    settings = {name: fields[name] for name in manifest.env_settings}
    manifest.env_settings = settings
    manifest.spec = spec_of(other)
    replaced = (episode._replace(action=table[episode.action]) for episode in episodes)
    return replaced, manifest


def _write_file(
    converting: Converting, episodes: Iterable[Episode], manifest: Manifest
) -> None:
    assert converting.written_by
    if converting.out.exists():
        raise ValueError(f"{converting.out} exists; give another file or remove it")
    converting.out.parent.mkdir(parents=True, exist_ok=True)
    converting.written_by.write(converting.out, episodes, manifest.as_json())


def _write_folder(
    converting: Converting, episodes: Iterable[Episode], manifest: Manifest, known: bool
) -> None:
    """Write a folder of ours; without a known spec the episodes tell it."""
    actions = 0
    sources = len(manifest.sources)
    with writing(converting.out, manifest) as writer:
        for number, episode in enumerate(episodes):
            if not known and number == 0:
                manifest.spec = manifests.spec_of_arrays(
                    episode.observation, episode.action
                )
            if not known and episode.action.ndim == 1:
                actions = max(actions, int(episode.action.max()) + 1)
                manifest.spec = manifest.spec._replace(actions=actions)
            if episode.source is not None:
                sources = max(sources, int(episode.source.max()) + 1)
            writer.add(episode)
        more = range(len(manifest.sources), sources)
        manifest.sources += tuple(f"source {index}" for index in more)
