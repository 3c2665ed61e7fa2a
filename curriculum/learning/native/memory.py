"""Memory for what a program computes in between."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from curriculum.learning.native.partition import Group
from curriculum.learning.native.trace import Storage

ALIGNMENT = 64  # bytes: a line of the processor's cache
# bytes between storages: at a distance of whole pages, a write to one delays reads of
# the other
GAP = 5 * ALIGNMENT


class _Lifetime(NamedTuple):
    """From which step to which one a storage holds something."""

    first: int
    last: int
    storage: int
    bytes: int


class _Placed(NamedTuple):
    """A storage's part of the arena, in bytes."""

    start: int
    end: int
    last: int  # step in which it is used


class Arena:
    """One block of memory, whose parts are used by one storage after the other."""

    def __init__(
        self,
        storages: Sequence[Storage],
        groups: Sequence[Group],
        in_memory: Collection[int],
        results: Collection[int],
    ):
        """`results` are storages that hold what they hold after the last step."""
        self.starts: dict[int, int] = {}
        self.sizes: dict[int, int] = {}
        size = 0
        live: list[_Placed] = []
        for lifetime in _lifetimes(storages, groups, in_memory, results):
            live = [placed for placed in live if placed.last >= lifetime.first]
            start = _first_gap(live, lifetime.bytes)
            end = start + lifetime.bytes
            live.append(_Placed(start, end, lifetime.last))
            self.starts[lifetime.storage] = start
            self.sizes[lifetime.storage] = lifetime.bytes
            size = max(size, end)
        block = torch.zeros(size + ALIGNMENT, dtype=torch.uint8)
        shift = -block.data_ptr() % ALIGNMENT
        self.block = block[shift : shift + size]

    def part(self, storage: int) -> Tensor:
        """The bytes of a storage."""
        start = self.starts[storage]
        return self.block[start : start + self.sizes[storage]]


def _lifetimes(
    storages: Sequence[Storage],
    groups: Sequence[Group],
    in_memory: Collection[int],
    results: Collection[int],
) -> list[_Lifetime]:
    """Of all storages of the program's own, in the order of their first use."""
    used: dict[int, tuple[int, int]] = {}
    private: dict[int, int] = {}
    count = 0
    for group in groups:
        start = count
        end = count + len(group.nodes) - 1
        private |= group.private
        for node in group.nodes:
            for array in (*node.read, *node.written):
                # the steps of a group are taken again for the next seed
                span = (count, count) if array.storage in private else (start, end)
                first, last = used.get(array.storage, span)
                used[array.storage] = (min(first, span[0]), max(last, span[1]))
            count += 1
    found = []
    for storage, (first, last) in used.items():
        own = storages[storage]
        if not own.inside or storage not in in_memory:
            continue
        if storage in results:
            first, last = 0, count
        wanted = private.get(storage, own.elements) * own.tensor.element_size()
        size = -(-wanted // ALIGNMENT) * ALIGNMENT + GAP
        found.append(_Lifetime(first, last, storage, size))
    return sorted(found)


def _first_gap(live: Sequence[_Placed], wanted: int) -> int:
    """The lowest place with so many free bytes."""
    start = 0
    for placed in sorted(live):
        if placed.start - start >= wanted:
            return start
        start = max(start, placed.end)
    return start
