"""Steps are taken seed by seed, so that what they work on stays in the cache.

A step of several seeds is split into parts, one for each. Steps that follow one another
form a group if no part of one of them meets another seed's part of the others; then all
of them are taken for the first seed, then for the second one and so on. What only one
group needs has memory for one seed.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from curriculum.learning.native.expressions import Array
from curriculum.learning.native.fusion import extent
from curriculum.learning.native.nodes import (
    Call,
    Loop,
    Node,
    Product,
    Reduction,
    Scatter,
    Store,
)
from curriculum.learning.native.transforms import map_arrays


@dataclass
class Group:
    """Steps that are taken `parts` times, for one part after the other."""

    nodes: list[Node]
    parts: int
    # storages of which there is one part alone -> its elements
    private: dict[int, int] = field(default_factory=dict)


def group(nodes: Sequence[Node], seeds: int, kept: Collection[int]) -> list[Group]:
    """Split steps by seeds where that changes nothing; storages in `kept` are needed
    after the last step."""
    groups: list[Group] = []
    for node in nodes:
        part = _split(node, seeds)
        last = groups[-1] if groups else None
        if part is None and last and last.parts > 1 and _can_precede(node, last):
            groups.insert(-1, Group([node], 1))
        elif part is None:
            groups.append(Group([node], 1))
        elif last and last.parts > 1 and _fits(last, part):
            last.nodes.append(part)
        else:
            groups.append(Group([part], seeds))
    users = Counter(storage for own in groups for storage in _storages(own.nodes))
    shared = {storage for storage, count in users.items() if count > 1}
    return [_with_private(own, shared.union(kept)) for own in groups]


def _split(node: Node, seeds: int) -> Node | None:
    """The first part of a step, whose arrays know where the others are; None if it
    cannot be split."""
    if seeds == 1 or isinstance(node, Call):
        return None
    shape = node.shape if isinstance(node, Loop) else node.target.shape
    if not shape or shape[0] % seeds:
        return None
    length = shape[0] // seeds

    def first(array: Array) -> Array:
        return replace(array.narrow(0, 0, length), step=length * array.strides[0])

    return _mapped(node, first)


def _mapped(node: Node, function: Callable[[Array], Array]) -> Node:
    """A step with other arrays."""
    if isinstance(node, Loop):
        stores = tuple(
            Store(function(store.target), map_arrays(store.value, function))
            for store in node.stores
        )
        return Loop(stores[0].target.shape, stores)
    if isinstance(node, Reduction):
        value = map_arrays(node.value, function)
        return replace(node, target=function(node.target), value=value)
    if isinstance(node, Scatter):
        index = map_arrays(node.index, function)
        value = map_arrays(node.value, function)
        return replace(node, target=function(node.target), index=index, value=value)
    assert isinstance(node, Product)
    return Product(*map(function, (node.left, node.right, node.target)))


def _can_precede(node: Node, own: Group) -> bool:
    """Whether a step that cannot be split can be taken before a group, too."""
    if isinstance(node, Call):
        return False
    read = {array.storage for array in node.read}
    written = {array.storage for array in node.written}
    others_write = {a.storage for other in own.nodes for a in other.written}
    return not (read & others_write or written & _storages(own.nodes))


def _fits(own: Group, added: Node) -> bool:
    """Whether parts of `added` meet nothing of other seeds."""
    for node in own.nodes:
        pairs = [(one, other) for one in node.written for other in added.read]
        pairs += [(one, other) for one in node.read for other in added.written]
        pairs += [(one, other) for one in node.written for other in added.written]
        if any(_meet(one, other, own.parts) for one, other in pairs):
            return False
    return True


def _meet(one: Array, other: Array, parts: int) -> bool:
    """Whether parts of two arrays for different seeds may overlap."""
    if one.storage != other.storage:
        return False
    start, end = extent(one)
    other_start, other_end = extent(other)
    if end + one.step * (parts - 1) <= other_start:
        return False
    if other_end + other.step * (parts - 1) <= start:
        return False
    length = max(end, other_end) - min(start, other_start)
    return one.step != other.step or length > one.step


def _with_private(own: Group, needed: Collection[int]) -> Group:
    """The group, with one part alone of storages that are not needed elsewhere."""
    if own.parts == 1:
        return own
    arrays = [array for node in own.nodes for array in (*node.read, *node.written)]
    private = {}
    for storage in _storages(own.nodes) - set(needed):
        mine = [array for array in arrays if array.storage == storage]
        step = mine[0].step
        if all(a.step == step and extent(a)[1] <= step for a in mine):
            private[storage] = step

    def alone(array: Array) -> Array:
        return replace(array, step=0) if array.storage in private else array

    nodes = [_mapped(node, alone) for node in own.nodes]
    return Group(nodes, own.parts, private)


def _storages(nodes: Sequence[Node]) -> set[int]:
    return {array.storage for node in nodes for array in (*node.read, *node.written)}
