"""Folders of Minari (Younis et al. 2024), with HDF5 or Arrow files.

Actions are scaled from the bounds of their space to [-1, 1]; parts of dictionaries are
laid side by side. What is written has one HDF5 file.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curriculum import files
from curriculum.formats._episodes import notes
from curriculum.formats._episodes.check import Damaged, check, check_alike, checked
from curriculum.formats._episodes.damage import DAMAGE, need, readable, said
from curriculum.formats._flat import columns
from curriculum.formats._minari import spaces, stored
from curriculum.types import Episode, Format

BACK_ENDS = ("hdf5", "arrow", "parquet")
VERSION = "0.5.4"  # of Minari, whose form is written


@dataclass(kw_only=True)
class Minari(Format):
    """A folder with `data/metadata.json`."""

    def recognises(self, path: Path) -> bool:
        return (stored.data_folder(path) / "metadata.json").is_file()

    def metadata(self, path: Path) -> dict[str, Any]:
        described = stored.description(path)
        with readable(path):
            found = notes.kept(described.get("curriculum", "{}"))
            found.setdefault("spec", spaces.spec(*_leaves(described)))
            if "env" not in found and described.get("env_spec"):
                found["env"] = str(json.loads(described["env_spec"])["id"])
            if "sources" not in found and described.get("algorithm_name"):
                found["sources"] = [str(described["algorithm_name"])]
        return found

    def read(self, path: Path, report: Callable[[str], None]) -> Iterator[Episode]:
        described = stored.description(path)
        with readable(path):
            observation, action = _leaves(described)
            first: Episode | None = None
            for number, reader in _episodes(path, described, observation, action):
                try:
                    episode = _episode(reader(number), observation, action)
                    check(episode)
                    check_alike(episode, first or episode)
                except DAMAGE as error:
                    report(f"episode {number}: {said(error)}")
                    continue
                first = first or episode
                yield episode

    def write(
        self, path: Path, episodes: Iterable[Episode], manifest: dict[str, Any]
    ) -> None:
        need("h5py")
        if path.exists():
            raise ValueError(f"{path} exists; give another folder or remove it")
        draft = path.with_name(f".draft-{path.name}")
        shutil.rmtree(draft, ignore_errors=True)
        try:
            (draft / "data").mkdir(parents=True)
            _write(draft / "data", checked(episodes), manifest)
            draft.rename(path)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


def _leaves(described: dict[str, Any]) -> tuple[list[spaces.Leaf], list[spaces.Leaf]]:
    """The parts of observations and actions."""
    in_hdf5 = described["data_format"] == "hdf5"

    def key(index: int) -> str:
        return f"_index_{index}" if in_hdf5 else str(index)

    observation = spaces.leaves(described["observation_space"], key)
    return observation, spaces.leaves(described["action_space"], key)


def _episodes(
    path: Path,
    described: dict[str, Any],
    observation: list[spaces.Leaf],
    action: list[spaces.Leaf],
) -> Iterator[tuple[int, stored.Reader]]:
    kind = described["data_format"]
    if kind not in BACK_ENDS:
        raise ValueError(f"its files are {kind!r}; read are {', '.join(BACK_ENDS)}")
    if kind == "hdf5":
        return stored.hdf5_episodes(path, observation, action)
    return stored.arrow_episodes(path, observation, action, kind)


def _episode(
    found: stored.Stored, observation: list[spaces.Leaf], action: list[spaces.Leaf]
) -> Episode:
    """Make an episode of its arrays."""
    obs = columns.observations(spaces.observations(found.observation, observation))
    reward = columns.numbers(found.reward, "reward")
    steps = len(reward)
    if len(obs) != steps + 1:
        raise Damaged(f"it has {len(obs)} observations and {steps} rewards")
    flags = {}
    for name in ("terminated", "truncated"):
        flag = columns.flags(getattr(found, name), name)
        if len(flag) != steps or flag[:-1].any():
            raise Damaged(f"{name} before its end, or not for each of {steps} steps")
        flags[name] = bool(flag[-1:].any())
    source = found.source
    if source is not None:
        source = columns.numbers(source, "source")[:steps]
    return Episode(
        observation=obs[:-1],
        action=columns.actions(spaces.actions(found.action, action)),
        reward=reward,
        next_observation=obs[1:],
        source=source,
        **flags,
    )


def _write(folder: Path, episodes: Iterable[Episode], manifest: dict[str, Any]) -> None:
    import h5py

    number = 0
    steps = 0
    actions = 0
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        for number, episode in enumerate(episodes):
            _add(file.create_group(f"episode_{number}"), number, episode)
            steps += len(episode.reward)
            if episode.action.ndim == 1:
                actions = max(actions, int(episode.action.max()) + 1)
    spec = manifest.get("spec", {})
    described = {
        "dataset_id": "converted/data-v0",
        "minari_version": VERSION,
        "data_format": "hdf5",
        "total_episodes": number + 1,
        "total_steps": steps,
        "dataset_size": round((folder / "main_data.hdf5").stat().st_size / 1e6, 1),
        "jpeg_encoding": False,
        "observation_space": json.dumps(_box(episode.observation)),
        "action_space": json.dumps(_action_space(episode.action, actions, spec)),
        "algorithm_name": ", ".join(manifest.get("sources", ())),
        "curriculum": json.dumps(manifest),
    }
    files.write_text(folder / "metadata.json", json.dumps(described, indent=1))


def _add(group: Any, number: int, episode: Episode) -> None:
    """Write an episode to its group."""
    steps = len(episode.reward)
    last = episode.next_observation[-1:]
    group.attrs["id"] = number
    group.attrs["total_steps"] = steps
    group["observations"] = np.concatenate([episode.observation, last])
    group["actions"] = episode.action
    group["rewards"] = episode.reward
    for name, value in (
        ("terminations", episode.terminated),
        ("truncations", episode.truncated),
    ):
        flag = np.zeros(steps, bool)
        flag[-1] = value
        group[name] = flag
    if episode.source is not None:
        # as Minari's own infos, one more than there are steps
        group["infos/source"] = np.append(episode.source, episode.source[-1])


def _box(rows: np.ndarray) -> dict[str, Any]:
    """The space of observations, without bounds, or of their dtype's."""
    low = -np.inf
    high = np.inf
    if rows.dtype.kind != "f":
        low = int(np.iinfo(rows.dtype).min)
        high = int(np.iinfo(rows.dtype).max)
    return _space(rows, low, high)


def _space(rows: np.ndarray, low: float, high: float) -> dict[str, Any]:
    shape = rows.shape[1:]
    return {
        "type": "Box",
        "dtype": rows.dtype.name,
        "shape": list(shape),
        "low": np.full(shape, low, object).tolist(),
        "high": np.full(shape, high, object).tolist(),
    }


def _action_space(rows: np.ndarray, largest: int, spec: Any) -> dict[str, Any]:
    if rows.ndim == 2:
        return _space(rows, -1.0, 1.0)
    count = max(largest, int(spec.get("actions", 0)))
    return {"type": "Discrete", "dtype": "int64", "start": 0, "n": count}
