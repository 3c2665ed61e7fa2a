"""Text, one line for each step.

Columns are `episode`, `observation_0`, `observation_1`, ..., `action` (or `action_0`,
...), `reward`, `next_observation_0`, ..., `terminated`, `truncated` and, where it is
known, `source`. The first line is a comment: the manifest, dtypes and shapes as JSON.
Files of others may lack it, have the names of `NAMES` in `_flat/columns.py`, and hold
arrays as text in brackets.
"""

import csv
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TextIO

import numpy as np

from curriculum import files
from curriculum.formats._episodes import notes
from curriculum.formats._episodes.damage import readable
from curriculum.formats._flat.blocks import Block, episodes
from curriculum.formats._flat.columns import conformed, found
from curriculum.formats._flat.rows import rows_of
from curriculum.types import Episode, Format

LINES = 4_096  # of a block
LONGEST = 2**24  # characters of a line
FLAGS = {"true": "1", "false": "0"}
WHOLE = re.compile(r"[+-]?\d+")
DTYPES = ("float32", "float64", "uint8", "int64")


@dataclass(kw_only=True)
class CSV(Format):
    """A .csv file."""

    # time limit of the world, of use where the file does not say which episodes were
    # cut short; 0: none
    max_steps: int = 0

    suffixes: ClassVar[tuple[str, ...]] = (".csv",)

    def metadata(self, path: Path) -> dict[str, Any]:
        with readable(path), path.open(newline="") as file:
            table = _Table(file)
            return notes.kept(json.dumps(table.note.get("manifest", {})))

    def read(self, path: Path, report: Callable[[str], None]) -> Iterator[Episode]:
        with readable(path), path.open(newline="") as file:
            yield from episodes(_Table(file).blocks(), report, self.max_steps)

    def write(
        self, path: Path, episodes: Iterable[Episode], manifest: dict[str, Any]
    ) -> None:
        with files.replacing(path) as draft, draft.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            parts = rows_of(episodes)
            first = next(parts)
            kinds = {name: [r.dtype.name, *r.shape[1:]] for name, r in first.items()}
            file.write(f"# {json.dumps({'columns': kinds, 'manifest': manifest})}\n")
            writer.writerow(_header(first))
            for columns in itertools.chain([first], parts):
                writer.writerows(_lines(columns))


def _header(columns: Block) -> list[str]:
    """The names in the first line of the table."""
    names = []
    for name, rows in columns.items():
        size = rows[0].size
        is_one = rows.ndim == 1
        names += [name] if is_one else [f"{name}_{n}" for n in range(size)]
    return names


def _lines(columns: Block) -> Iterator[list[str]]:
    """The lines of an episode; numbers are the shortest text that gives them back."""
    texts = []
    for rows in columns.values():
        flat = rows.reshape(len(rows), -1)
        if rows.dtype == bool:
            flat = flat.astype(np.uint8)
        texts.append(flat)
    for line in zip(*texts, strict=True):
        yield [str(number) for numbers in line for number in numbers]


class _Table:
    """A table whose lines are read one block after another."""

    def __init__(self, file: TextIO) -> None:
        """Read the lines before the first step."""
        self.note: dict[str, Any] = {}
        lines = _limited(file)
        head = next(lines, "")
        if head.startswith("#"):
            self.note = self._comment(head.removeprefix("#"))
            head = next(lines, "")
        self.reader = csv.reader(lines)
        names = [name.strip() for name in next(csv.reader([head]), [])]
        if len(set(names)) < len(names):
            raise ValueError("two of its columns have the same name")
        self.width = len(names)
        self.places = _places(names)  # column -> places of its numbers in a line

    @staticmethod
    def _comment(text: str) -> dict[str, Any]:
        """The note of our own files; any other comment is ignored."""
        try:
            note = json.loads(text)
        except (ValueError, RecursionError):
            return {}
        return note if isinstance(note, dict) else {}

    def blocks(self) -> Iterator[Block]:
        number = 1
        while lines := list(itertools.islice(self.reader, LINES)):
            for line in lines:
                if len(line) != self.width:
                    raise ValueError(
                        f"step {number} has {len(line)} fields, not {self.width}"
                    )
                number += 1
            fields = list(zip(*lines, strict=True))
            yield conformed({name: self._rows(name, fields) for name in self.places})

    def _rows(self, name: str, fields: list[tuple[str, ...]]) -> np.ndarray:
        """The rows of a column from the fields of lines."""
        texts = [fields[place] for place in self.places[name]]
        kind = self.note.get("columns", {}).get(name)
        if kind:
            return _known(texts, *kind)
        if texts[0][0].lstrip().startswith("["):
            texts = list(zip(*map(_bracketed, texts[0]), strict=True))
        return _guessed(name, texts)


def _limited(file: TextIO) -> Iterator[str]:
    """Lines of a file; ValueError for one without an end."""
    while line := file.readline(LONGEST):
        if len(line) == LONGEST:
            raise ValueError(f"it has a line of more than {LONGEST:,} characters")
        yield line


def _places(names: list[str]) -> dict[str, list[int]]:
    """Which fields of a line belong to which column."""
    groups: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        groups.setdefault(re.sub(r"_\d+$", "", name), []).append(place)
    return {column: groups[name] for column, name in found(groups).items()}


def _known(texts: list[tuple[str, ...]], dtype: str, *shape: int) -> np.ndarray:
    """Numbers whose dtype and shape of one row the file says."""
    if dtype not in (*DTYPES, "bool"):
        raise ValueError(f"its first line names the dtype {dtype!r}")
    if dtype == "bool":
        return np.array(texts, np.uint8)[0]
    if dtype.startswith("float"):
        numbers = _floats(texts, dtype)
    else:
        numbers = np.array(texts).astype(dtype)
    return np.ascontiguousarray(numbers.T).reshape(-1, *shape)


def _guessed(name: str, texts: list[tuple[str, ...]]) -> np.ndarray:
    """Numbers of a file that does not say their dtype."""
    if name in ("terminated", "truncated"):
        texts = [tuple(FLAGS.get(t.strip().lower(), t) for t in texts[0])]
    whole = name not in ("observation", "next_observation", "reward")
    if whole and all(WHOLE.fullmatch(t.strip()) for line in texts for t in line):
        numbers: np.ndarray = np.array(texts).astype(np.int64)
    else:
        with np.errstate(over="ignore"):
            numbers = _floats(texts, "float64").astype(np.float32)
    rows = np.ascontiguousarray(numbers.T)
    one = rows.shape[1] == 1 and name not in ("observation", "next_observation")
    return rows[:, 0] if one else rows


def _floats(texts: list[tuple[str, ...]], dtype: str) -> np.ndarray:
    """Numbers of texts; those that are none are NaN, so that their episode is
    reported."""
    try:
        return np.array(texts).astype(dtype)
    except ValueError:
        return np.array([[_number(text) for text in line] for line in texts], dtype)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _bracketed(text: str) -> list[str]:
    """The numbers of an array as text, such as "[[0.5, 1.]]" or "[0.5 1.]"."""
    return re.sub(r"[\[\],]", " ", text).split()
