"""Record files of RL Unplugged's Atari games (Gulcehre et al. 2020, arXiv 2006.13888).

A record is an episode: single pictures as PNG, actions, rewards and discounts, with
checksums. Of an episode that was cut short the last step is left out, as the picture
after it is not stored. We add `last_observation`, `truncated` and `source`; rewards are
float32.
"""

import gzip
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from curriculum import crc, files
from curriculum.formats._episodes.check import Damaged, check, check_alike, checked
from curriculum.formats._episodes.damage import DAMAGE, readable, said
from curriculum.formats._frames import example
from curriculum.formats._frames.stacks import pictures_of, stacked
from curriculum.types import Episode, Format, within

NAME = re.compile(r"run_\d+-\d+-of-\d+")
GZIP = b"\x1f\x8b"
LARGEST = 2**29  # bytes of a record
ACTIONS = 18  # of the console; which of them a game has is not stored
MOST_STEPS = 200_000
HEAD = struct.Struct("<QI")  # length and its checksum
FOOT = struct.Struct("<I")


@dataclass(kw_only=True)
class RLU(Format):
    """A file such as Pong/run_1-00000-of-00050."""

    stack: int = 4  # pictures of an observation; those before the first are black
    clip: bool = True  # rewards in [-1, 1], as `--env atari` trains on

    def __post_init__(self):
        within(self, 1, 16, "stack")

    def recognises(self, path: Path) -> bool:
        return path.is_file() and NAME.fullmatch(path.name) is not None

    def metadata(self, path: Path) -> dict[str, Any]:
        first = next(self.read(path, lambda text: None), None)
        if first is None:
            raise ValueError(f"data set {path} cannot be read: it has no good episode")
        words = "score" + ", clipped to [-1, 1]" * self.clip
        spec = {
            "obs_shape": list(first.observation.shape[1:]),
            "obs_dtype": "uint8",
            "actions": ACTIONS,
            "action_size": 0,
            "frames": self.stack,
        }
        found = {"spec": spec, "reward": words}
        if NAME.fullmatch(path.name) and path.absolute().parent.name:
            game = path.absolute().parent.name
            found |= {"env": "atari", "env_settings": {"game": game}}
        return found

    def read(self, path: Path, report: Callable[[str], None]) -> Iterator[Episode]:
        with readable(path), _stream(path) as file:
            first: Episode | None = None
            for number, record in enumerate(_records(file, report)):
                if record is None:
                    continue
                try:
                    episode = self._episode(example.parsed(record))
                    check(episode)
                    check_alike(episode, first or episode)
                except DAMAGE as error:
                    report(f"episode {number}: {said(error)}")
                    continue
                first = first or episode
                yield episode

    def _episode(self, values: dict[str, example.Value]) -> Episode:
        pictures = _pictures(values)
        steps = len(pictures)
        action = _array(values, "actions", steps)
        reward = _array(values, "unclipped_rewards", steps)
        discount = _array(values, "discounts", steps)
        terminated = bool(discount[-1] == 0)
        truncated = not terminated
        if "truncated" in values:
            truncated = bool(_array(values, "truncated", 1)[0])
        keep = steps
        if "last_observation" in values:
            last = _decoded(values, "last_observation")
        elif terminated:
            last = pictures[-1:]  # unknown, and never needed
        else:
            keep -= 1
            last = pictures[:0]
        if not keep:
            raise Damaged("its only step has no next observation")
        whole = stacked(np.concatenate([pictures, last]), self.stack)
        source = None
        if "source" in values:
            source = _array(values, "source", steps).astype(np.uint8)[:keep]
        return Episode(
            observation=whole[:-1],
            action=action.astype(np.int64)[:keep],
            reward=np.clip(reward, -1, 1)[:keep] if self.clip else reward[:keep],
            next_observation=whole[1:],
            terminated=terminated,
            truncated=truncated,
            source=source,
        )

    def write(
        self, path: Path, episodes: Iterable[Episode], manifest: dict[str, Any]
    ) -> None:
        with files.replacing(path) as draft, gzip.open(draft, "wb", 6) as file:
            for number, episode in enumerate(checked(episodes)):
                try:
                    payload = example.message(_values(episode, number))
                except Damaged as error:
                    raise ValueError(f"episode {number}: {error}") from None
                length = struct.pack("<Q", len(payload))
                file.write(HEAD.pack(len(payload), crc.masked(length)))
                file.write(payload)
                file.write(FOOT.pack(crc.masked(payload)))


def _stream(path: Path) -> gzip.GzipFile | BinaryIO:
    """The records of a file, compressed or not."""
    with path.open("rb") as file:
        is_compressed = file.read(2) == GZIP
    return gzip.open(path) if is_compressed else path.open("rb")


def _records(file: Any, report: Callable[[str], None]) -> Iterator[bytes | None]:
    """Records, None for one whose checksum is wrong.

    They end at the first one that is incomplete, or whose length is unknown, as nobody
    knows where the next one begins. Both are reported."""
    number = 0
    try:
        while head := file.read(HEAD.size):
            length = _length(head)
            record = file.read(length)
            foot = file.read(FOOT.size)
            if len(record) < length or len(foot) < FOOT.size:
                raise EOFError
            if FOOT.unpack(foot)[0] == crc.masked(record):
                yield record
            else:
                report(f"episode {number}: its checksum is wrong")
                yield None
            number += 1
    except EOFError:
        report(f"episode {number}: the file ends within it")
    except (Damaged, zlib.error, gzip.BadGzipFile) as error:
        report(f"episode {number}: {said(error)}; all after it are left out, too")


def _length(head: bytes) -> int:
    """The bytes of a record; EOFError or Damaged where they are unknown."""
    if len(head) < HEAD.size:
        raise EOFError
    length, checksum = HEAD.unpack(head)
    if crc.masked(head[:8]) != checksum:
        raise Damaged("the checksum of its length is wrong")
    if length > LARGEST:
        raise Damaged(f"it has {length:,} bytes")
    return length


def _pictures(values: dict[str, example.Value]) -> np.ndarray:
    """The pictures of an episode, [T, height, width]."""
    pictures = _decoded(values, "observations")
    if not 0 < len(pictures) <= MOST_STEPS:
        raise Damaged(f"it has {len(pictures):,} observations")
    return pictures


def _decoded(values: dict[str, example.Value], name: str) -> np.ndarray:
    from curriculum.formats._frames import png

    files_of_pictures = values.get(name)
    if not isinstance(files_of_pictures, list) or not files_of_pictures:
        raise Damaged(f"it has no {name}")
    first = png.decoded(files_of_pictures[0])
    count = min(len(files_of_pictures), MOST_STEPS + 1)
    pictures = np.empty((count, *first.shape), np.uint8)
    for index in range(count):
        picture = png.decoded(files_of_pictures[index])
        if picture.shape != first.shape:
            raise Damaged(f"picture {index} has another size than the first")
        pictures[index] = picture
    return pictures


def _array(values: dict[str, example.Value], name: str, count: int) -> np.ndarray:
    """A list of numbers of one episode."""
    array = values.get(name)
    if not isinstance(array, np.ndarray) or len(array) != count:
        size = 0 if array is None else len(array)
        raise Damaged(f"it has {size} {name} for {count} observations")
    return array


def _values(episode: Episode, number: int) -> dict[str, example.Value]:
    """The lists of a record."""
    from curriculum.formats._frames import png

    pictures = [png.encoded(picture) for picture in pictures_of(episode)]
    reward = episode.reward.astype(np.float32)
    clipped = np.clip(reward, -1, 1)
    discount = np.ones(len(reward), np.float32)
    discount[-1] = not episode.terminated
    values: dict[str, example.Value] = {
        "checkpoint_idx": np.array([0]),
        "episode_idx": np.array([number]),
        "episode_return": reward.sum(keepdims=True),
        "clipped_episode_return": clipped.sum(keepdims=True),
        "observations": pictures[:-1],
        "actions": episode.action,
        "unclipped_rewards": reward,
        "clipped_rewards": clipped,
        "discounts": discount,
        "last_observation": pictures[-1:],
        "truncated": np.array([int(episode.truncated)]),
    }
    if episode.source is not None:
        values["source"] = episode.source.astype(np.int64)
    return values
