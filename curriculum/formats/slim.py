"""Replay buffers of slimCQL: pictures stored once, and indices into them.

A folder of gzipped NumPy arrays `observations.gz`, `o_tm1_indices.gz`,
`o_tm1_stack_sizes.gz`, `o_t_indices.gz`, `o_t_stack_sizes.gz`, `actions.gz`,
`rewards.gz` and `is_terminals.gz`. A stack begins at its index; where it has fewer
pictures than the others, those before are black. An episode goes on while the next
observation of a transition is the observation of the following one; elsewhere it was
cut short. `rewards` are of one step: n-step sums are refused.
"""

import gzip
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.formats._episodes.check import Damaged, check, check_alike, checked
from curriculum.formats._episodes.damage import readable, said
from curriculum.formats._flat.arrays import Drafts, StoredArray
from curriculum.formats._flat.columns import check_rows, numbers
from curriculum.formats._frames.stacks import pictures_of, stacked
from curriculum.types import Episode, Format, within

COLUMNS = {  # file -> dtype
    "o_tm1_indices": np.uint32,
    "o_tm1_stack_sizes": np.uint8,
    "o_t_indices": np.uint32,
    "o_t_stack_sizes": np.uint8,
    "actions": np.uint32,
    "rewards": np.float64,
    "is_terminals": np.uint8,
}
Columns = dict[str, np.ndarray]


@dataclass(kw_only=True)
class Slim(Format):
    """A folder with `o_tm1_indices.gz`."""

    stack: int = 4  # pictures of an observation; those before the first are black

    def __post_init__(self):
        within(self, 1, 16, "stack")

    def recognises(self, path: Path) -> bool:
        return (path / "o_tm1_indices.gz").is_file()

    def metadata(self, path: Path) -> dict[str, Any]:
        with readable(path):
            columns = _columns(path)
            with gzip.open(path / "observations.gz") as file:
                shape = StoredArray(file, "observations").shape
            spec = {
                "obs_shape": [self.stack, *shape[1:]],
                "obs_dtype": "uint8",
                "actions": int(columns["actions"].max(initial=0)) + 1,
                "action_size": 0,
                "frames": self.stack,
            }
            return {"spec": spec}

    def read(self, path: Path, report: Callable[[str], None]) -> Iterator[Episode]:
        with readable(path), gzip.open(path / "observations.gz") as file:
            columns = _columns(path)
            window = _Window(StoredArray(file, "observations"))
            first: Episode | None = None
            borders = _borders(columns)
            for number, end in enumerate(borders[1:].tolist()):
                steps = slice(int(borders[number]), end)
                part = {name: rows[steps] for name, rows in columns.items()}
                try:
                    episode = self._episode(part, window)
                    check(episode)
                    check_alike(episode, first or episode)
                except Damaged as error:
                    report(f"episode {number}: {said(error)}")
                    continue
                first = first or episode
                yield episode

    def _episode(self, part: Columns, window: "_Window") -> Episode:
        before = part["o_tm1_indices"]
        size = part["o_tm1_stack_sizes"]
        newest = before + size - 1
        after = part["o_t_indices"] + part["o_t_stack_sizes"] - 1
        if size[0] < 1 or not (np.diff(newest) == 1).all():
            raise Damaged("its pictures do not follow one another")
        known = np.minimum(self.stack, size[0] + np.arange(len(size)))
        if (size != known).any():
            step = np.flatnonzero(size != known)[0]
            raise Damaged(f"step {step} has a stack of {size[step]} pictures")
        terminated = bool(part["is_terminals"][-1])
        pictures = window.between(int(before[0]), int(newest[-1]) + 1)
        if after[-1] == newest[-1] + 1:
            end = window.between(int(after[-1]), int(after[-1]) + 1)
        elif terminated:
            end = pictures[-1:]  # unknown, and never needed
        else:
            raise Damaged("its rewards are not of one step; n-step sums are not read")
        whole = stacked(np.concatenate([pictures, end]), self.stack, int(size[0]))
        return Episode(
            observation=whole[:-1],
            action=part["actions"],
            reward=part["rewards"],
            next_observation=whole[1:],
            terminated=terminated,
            truncated=not terminated,
        )

    def write(
        self, path: Path, episodes: Iterable[Episode], manifest: dict[str, Any]
    ) -> None:
        if path.exists():
            raise ValueError(f"{path} exists; give another folder or remove it")
        draft = path.with_name(f".draft-{path.name}")
        shutil.rmtree(draft, ignore_errors=True)
        try:
            with (
                tempfile.TemporaryDirectory(dir=path.parent) as raw,
                Drafts(Path(raw)) as drafts,
            ):
                self._append(drafts, checked(episodes))
                draft.mkdir()
                for name in drafts.files:
                    with gzip.open(draft / f"{name}.gz", "wb", 6) as file:
                        drafts.write(name, file)
            draft.rename(path)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _append(self, drafts: Drafts, episodes: Iterable[Episode]) -> None:
        first = 0  # picture of the episode
        for number, episode in enumerate(episodes):
            try:
                pictures = pictures_of(episode)
            except Damaged as error:
                raise ValueError(f"episode {number}: {error}") from None
            steps = len(episode.reward)
            size = np.minimum(self.stack, np.arange(1, steps + 2))
            index = first + np.arange(1, steps + 2) - size
            columns = {
                "o_tm1_indices": index[:-1],
                "o_tm1_stack_sizes": size[:-1],
                "o_t_indices": index[1:],
                "o_t_stack_sizes": size[1:],
                "actions": episode.action,
                "rewards": episode.reward,
                "is_terminals": np.arange(1, steps + 1) == steps * episode.terminated,
            }
            kept = {name: rows.astype(COLUMNS[name]) for name, rows in columns.items()}
            drafts.append({"observations": pictures, **kept})
            first += steps + 1


class _Window:
    """Pictures of a file that is read from its beginning to its end."""

    def __init__(self, stored: StoredArray) -> None:
        if stored.dtype != np.uint8 or len(stored.shape) != 3:
            raise ValueError(
                f"observations must be grey pictures, uint8 [N, height, width], got "
                f"{stored.dtype} {list(stored.shape)}"
            )
        self.stored = stored
        self.first = 0  # number of the first picture that is held
        self.held = np.empty((0, *stored.shape[1:]), np.uint8)

    def between(self, begin: int, end: int) -> np.ndarray:
        """Pictures `begin` to `end`; `begin` must not go back by more than is held."""
        if begin < self.first or end <= begin:
            raise Damaged("its pictures are not in order")
        if end > self.stored.shape[0]:
            count = self.stored.shape[0]
            raise Damaged(f"it has picture {end - 1:,} of {count:,}")
        reached = self.first + len(self.held)
        while reached < begin:  # pictures of no transition
            skipped = min(begin - reached, 1_000)
            self.stored.rows(skipped)
            reached += skipped
            self.held = self.held[:0]
            self.first = reached
        if end > reached:
            more = self.stored.rows(end - reached)
            self.held = np.concatenate([self.held[max(0, begin - self.first) :], more])
            self.first = begin
        return self.held[begin - self.first : end - self.first]


def _columns(path: Path) -> Columns:
    """All columns but the pictures."""
    arrays = {}
    for name in COLUMNS:
        with gzip.open(path / f"{name}.gz") as file:
            arrays[name] = StoredArray(file, name).all()
    shapes = {name: array.shape for name, array in arrays.items()}
    check_rows(shapes, {name: array.dtype for name, array in arrays.items()})
    out = {}
    for name, array in arrays.items():
        if name == "rewards":
            out[name] = numbers(array, "reward")
        elif array.dtype.kind not in "biu":
            raise ValueError(f"{name} holds {array.dtype}, not whole numbers")
        else:
            out[name] = array.reshape(len(array)).astype(np.int64)
    return out


def _borders(columns: Columns) -> np.ndarray:
    """Where episodes begin and end."""
    ends = columns["is_terminals"][:-1] != 0
    for name in ("indices", "stack_sizes"):
        ends |= columns[f"o_t_{name}"][:-1] != columns[f"o_tm1_{name}"][1:]
    inner = np.flatnonzero(ends) + 1
    rows = len(columns["actions"])
    return np.unique(np.concatenate([[0], inner, [rows]]))
