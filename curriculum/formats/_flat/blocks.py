"""Cut blocks of consecutive rows into checked episodes."""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from curriculum.activity import announce
from curriculum.formats._episodes.check import Damaged, check, check_alike
from curriculum.types import Episode

# a block: column -> rows [n, ...]; "observation", "action", "reward" and, where the
# file has them, "next_observation", "terminated", "truncated", "source" (uint8), and
# "episode", the number of the episode that a row belongs to
Block = dict[str, np.ndarray]
CLOSE = 1e-6  # observations that differ by less are the same
LARGEST = 2**30  # bytes of an episode


class Part(NamedTuple):
    """The rows of one episode in a block."""

    begin: int
    end: int
    cut: bool  # by a time limit that the file does not say


def episodes(
    blocks: Iterable[Block], report: Callable[[str], None], max_steps: int = 0
) -> Iterator[Episode]:
    """Yield the good episodes of blocks and report the others.

    An episode ends at a row that is terminated or truncated; where the blocks say
    neither, also where its next observation is not the following row's, and after
    `max_steps`, if that is not 0."""
    cutter = _Cutter(report, max_steps)
    rest: Block = {}
    for block in blocks:
        block = _joined(rest, block)
        parts = cutter.parts(block)
        done = parts[-1].begin if parts else 0  # the last one may go on
        for part in parts[:-1]:
            yield from cutter.episode(block, part)
        rest = {name: rows[done:] for name, rows in block.items()}
        if sum(rows.nbytes for rows in rest.values()) > LARGEST:
            raise ValueError(
                f"episode {cutter.number} has no end within {LARGEST >> 20:,} MiB; "
                "set max_steps, its time limit"
            )
    if rest:
        for part in cutter.parts(rest):
            yield from cutter.episode(rest, part)
    cutter.finish()


def _joined(rest: Block, block: Block) -> Block:
    if not rest:
        return block
    return {name: np.concatenate([rest[name], block[name]]) for name in block}


class _Cutter:
    """Makes episodes of rows, and counts them."""

    def __init__(self, report: Callable[[str], None], max_steps: int) -> None:
        self.report = report
        self.max_steps = max_steps
        self.number = 0  # of the next episode
        self.first: Episode | None = None  # whose kind the others must be of
        self.unflagged: list[int] = []  # episodes that end without a flag

    def parts(self, block: Block) -> list[Part]:
        """The episodes of a block; the last one may go on in the next block."""
        rows = len(block["reward"])
        if "episode" in block:
            ends = np.flatnonzero(np.diff(block["episode"])) + 1
            jumps = np.zeros(0, np.int64)
        else:
            flags = block["terminated"].copy()
            jumps = np.zeros(0, np.int64)
            if "truncated" in block:
                flags |= block["truncated"]
            elif "next_observation" in block:
                jumps = np.flatnonzero(_jumps(block) & ~flags[:-1]) + 1
            ends = np.union1d(np.flatnonzero(flags) + 1, jumps)
        borders = np.unique(np.concatenate([[0], ends, [rows]]))
        unflagged = np.isin(borders, jumps)
        parts = []
        for index, end in enumerate(borders[1:].tolist(), start=1):
            whole = Part(int(borders[index - 1]), end, bool(unflagged[index]))
            parts += self._within_limit(block, whole)
        return parts

    def _within_limit(self, block: Block, part: Part) -> list[Part]:
        """Cut an episode at the time limit, if the file does not say where."""
        if not self.max_steps or "truncated" in block or "episode" in block:
            return [part]
        borders = [*range(part.begin, part.end, self.max_steps), part.end]
        parts = []
        for begin, end in pairwise(borders):
            parts.append(Part(begin, end, part.cut or end - begin == self.max_steps))
        return parts

    def episode(self, block: Block, part: Part) -> Iterator[Episode]:
        """Yield an episode if it is good."""
        number = self.number
        self.number += 1
        rows = {name: array[part.begin : part.end] for name, array in block.items()}
        try:
            episode = _episode(rows, part.cut)
            check(episode)
            check_alike(episode, self.first or episode)
        except Damaged as error:
            self.report(f"episode {number}: {error}")
            return
        self.first = self.first or episode
        if part.cut and not self.max_steps:
            self.unflagged.append(number)
        yield episode

    def finish(self) -> None:
        """Say how many episodes have no flag at their end."""
        if self.unflagged:
            announce(
                f"{len(self.unflagged)} episodes, the first of them episode "
                f"{self.unflagged[0]}, end where the next observation is not the "
                "following one, without a flag: they count as truncated"
            )


def _jumps(block: Block) -> np.ndarray:
    """Rows whose next observation is not the following row's, [n - 1] bool."""
    after = block["next_observation"][:-1]
    following = block["observation"][1:]
    differ = after != following
    if after.dtype.kind == "f":
        # not >=: what is not finite is found later
        with np.errstate(invalid="ignore", over="ignore"):
            differ = np.abs(after - following) > CLOSE * np.maximum(1, abs(following))
    jumps: np.ndarray = differ.any(tuple(range(1, differ.ndim)))
    return jumps


def _episode(rows: Block, cut: bool) -> Episode:
    """Make an episode of its rows."""
    flags = {}
    for name in ("terminated", "truncated"):
        flag = rows.get(name)
        if flag is not None and flag[:-1].any():
            step = np.flatnonzero(flag)[0]
            raise Damaged(f"{name} at step {step}, but it goes on")
        flags[name] = flag is not None and bool(flag[-1])
    if cut:
        flags = {"terminated": False, "truncated": True}
    observation = rows["observation"]
    keep = len(observation)
    if "next_observation" in rows:
        after = _continued(observation, rows["next_observation"])
    elif flags["terminated"]:
        # unknown, and never needed
        after = np.concatenate([observation[1:], observation[-1:]])
    else:
        after = observation[1:]
        keep -= 1
        if not keep:
            raise Damaged("its only step has no next observation")
    source = rows.get("source")
    return Episode(
        observation=observation[:keep],
        action=rows["action"][:keep],
        reward=rows["reward"][:keep],
        next_observation=after,
        source=None if source is None else source[:keep],
        **flags,
    )


def _continued(observation: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Next observations, without rounding errors in those that are the following
    observations."""
    if after.dtype.kind != "f" or after.shape != observation.shape or len(after) == 1:
        return after
    if (after[:-1] == observation[1:]).all():
        return after
    pair = {"observation": observation, "next_observation": after}
    return (
        after if _jumps(pair).any() else np.concatenate([observation[1:], after[-1:]])
    )
