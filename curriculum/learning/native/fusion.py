"""Loops that follow one another become one loop; what nobody reads is not written."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from curriculum.learning.native.expressions import Array, Gather, loads, walk
from curriculum.learning.native.nodes import Call, Loop, Node, Store
from curriculum.learning.native.transforms import drop, map_arrays

# stores of one loop: longer ones run out of registers
MOST_STORES = 24


def fuse(nodes: Sequence[Node], kept: Collection[int]) -> list[Node]:
    """Join neighbouring loops of one shape and drop stores that nobody reads; storages
    in `kept` are read later."""
    joined: list[Node] = []
    for node in nodes:
        if not isinstance(node, Loop):
            joined.append(node)
            continue
        loop = _without_ones(node)
        previous = joined[-1] if joined else None
        if isinstance(previous, Loop) and _can_join(previous, loop):
            joined[-1] = Loop(loop.shape, (*previous.stores, *loop.stores))
        else:
            joined.append(loop)
    return _drop_unread(joined, kept)


def _without_ones(loop: Loop) -> Loop:
    """The loop without dimensions of size 1."""
    ones = [i for i, size in enumerate(loop.shape) if size == 1]
    if not ones:
        return loop
    stores = tuple(
        Store(
            drop(store.target, ones),
            map_arrays(store.value, lambda array: drop(array, ones)),
        )
        for store in loop.stores
    )
    return Loop(stores[0].target.shape, stores)


def _can_join(first: Loop, second: Loop) -> bool:
    """Whether every element can be finished before the next one begins."""
    if first.shape != second.shape:
        return False
    if len(first.stores) + len(second.stores) > MOST_STORES:
        return False
    pairs = [(write, read) for write in first.written for read in second.read]
    pairs += [(read, write) for read in first.read for write in second.written]
    pairs += [(old, new) for old in first.written for new in second.written]
    if any(_conflict(early, late) for early, late in pairs):
        return False
    gathered = _gathered(first) | _gathered(second)
    written = {array.storage for array in (*first.written, *second.written)}
    return not gathered & written


def _conflict(early: Array, late: Array) -> bool:
    """Whether two elements of the loop may meet at one place of the memory."""
    if early.storage != late.storage or early == late:
        return False
    return _overlap(early, late)


def _overlap(one: Array, other: Array) -> bool:
    """Whether the ranges of two arrays of one storage meet."""
    one_start, one_end = extent(one)
    other_start, other_end = extent(other)
    return one_start < other_end and other_start < one_end


def extent(array: Array) -> tuple[int, int]:
    """The places of the first element and behind the last one."""
    last = array.offset
    for size, stride in zip(array.shape, array.strides, strict=True):
        last += (size - 1) * stride
    return array.offset, last + 1


def _gathered(loop: Loop) -> set[int]:
    """Storages that are read at computed places."""
    return {
        part.array.storage
        for store in loop.stores
        for part in walk(store.value)
        if isinstance(part, Gather)
    }


def _drop_unread(nodes: list[Node], kept: Collection[int]) -> list[Node]:
    """Remove stores to storages that no step reads."""
    while True:
        read = set(kept)
        for node in nodes:
            read |= {array.storage for array in node.read}
        left: list[Node] = []
        for node in nodes:
            if isinstance(node, Call):
                left.append(node)
            elif isinstance(node, Loop):
                stores = tuple(s for s in node.stores if _is_needed(s, node, read))
                if stores:
                    left.append(replace(node, stores=stores))
            elif any(array.storage in read for array in node.written):
                left.append(node)
        if left == nodes:
            return left
        nodes = left


def _is_needed(store: Store, loop: Loop, read: set[int]) -> bool:
    """Whether a store is read from memory, or by its own loop."""
    if store.target.storage in read:
        return True
    later = loop.stores[loop.stores.index(store) + 1 :]
    return any(store.target in loads(other.value) for other in later)
