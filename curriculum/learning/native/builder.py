"""Steps that compute, reduce and multiply arrays."""

from collections.abc import Sequence
from typing import Any

import torch

from curriculum.learning.native.expressions import (
    Array,
    Constant,
    Expression,
    Load,
    Unsupported,
    cast,
    compare,
    select,
)
from curriculum.learning.native.formulas import maximum, minimum
from curriculum.learning.native.nodes import (
    Kind,
    Loop,
    Node,
    Product,
    Reduction,
    Store,
)
from curriculum.learning.native.trace import Storage
from curriculum.learning.native.transforms import at, insert, squeeze

# matrix products with an inner or last dimension up to this are faster as loops than in
# the BLAS library, and reductions of so few numbers as one formula
FEW = 8


class Builder:
    """A list of steps that grows."""

    def __init__(self, storages: list[Storage]):
        self.storages = storages
        self.nodes: list[Node] = []
        # arrays padded with columns of zeros -> what they were made of
        self.padded: dict[Array, Array] = {}

    def append(self, node: Node) -> None:
        """Add a step."""
        self.nodes.append(node)
        written = {array.storage for array in node.written}
        for padded, origin in list(self.padded.items()):
            if padded.storage in written or origin.storage in written:
                del self.padded[padded]

    def store(self, target: Array, value: Expression) -> None:
        """Compute every element of `target`."""
        if 0 in target.shape:
            return
        self.append(Loop(target.shape, (Store(target, cast(value, target.type)),)))

    def copy(self, target: Array, source: Array) -> None:
        """Copy an array of the same shape."""
        self.store(target, load(source))

    def fill(self, target: Array, number: float) -> None:
        """Set every element."""
        self.store(target, Constant(number, target.type))

    def temporary(self, shape: Sequence[int]) -> Array:
        """A new array of float32."""
        tensor = torch.empty(tuple(shape))
        self.storages.append(Storage(tensor, inside=True))
        number = len(self.storages) - 1
        return Array(number, 0, tuple(shape), tensor.stride(), "f32")

    def reduce(
        self, kind: Kind, target: Array, value: Expression, reduced: Sequence[int]
    ) -> None:
        """Reduce a formula over the shape of `target`, then `reduced`."""
        if kind == "sum":
            value = cast(value, target.type)
        elif value.type not in ("f32", "f64"):
            raise Unsupported(f"{kind} of {value.type}")
        if 0 in reduced or 0 in target.shape:
            raise Unsupported(f"{kind} of nothing")
        sizes = tuple(size for size in reduced if size != 1)
        value = squeeze(value, len(target.shape), reduced)
        if not sizes:
            zero = Constant(0, "i64")
            self.store(target, zero if kind.startswith("arg") else value)
        elif len(sizes) == 1 and sizes[0] <= FEW:
            terms = [at(value, -1, place) for place in range(sizes[0])]
            self.store(target, _combine(kind, terms))
        else:
            self.append(Reduction(kind, target, value, sizes))

    def product(self, left: Array, right: Array, target: Array) -> None:
        """Matrix product [N, m, k] x [N, k, n]."""
        if {left.type, right.type, target.type} != {"f32"}:
            raise Unsupported("products of other types than float32")
        if 0 in target.shape or 0 in left.shape:
            raise Unsupported("products of nothing")
        origin = self.padded.get(right)
        if origin is not None:
            columns = origin.shape[-1]
            rest = target.shape[-1] - columns
            self.product(left, origin, target.narrow(-1, 0, columns))
            self.fill(target.narrow(-1, columns, rest), 0)
            return
        inner = left.shape[-1]
        outputs = target.shape[-1]
        if inner <= FEW:
            self._product_of_few(left, right, target)
        elif outputs <= FEW and left.strides[-1] == 1:
            self._product_by_rows(left, right, target)
        elif outputs <= FEW and left.strides[-2] == 1:
            self._product_by_columns(left, right, target)
        else:
            self._product_by_blas(left, right, target)

    def _product_of_few(self, left: Array, right: Array, target: Array) -> None:
        """A sum of few terms for every element."""
        right = self._with_rows(right)
        total: Any = 0
        for k in range(left.shape[-1]):
            column = load(left.narrow(-1, k, 1).expand(target.shape))
            row = load(right.narrow(-2, k, 1).expand(target.shape))
            total = column * row if k == 0 else total + column * row
        self.store(target, total)

    def _product_by_rows(self, left: Array, right: Array, target: Array) -> None:
        """The dot products of rows of `left` with a few columns."""
        columns = self._with_rows(right.transpose((0, 2, 1)))  # [N, n, k]
        shape = (*target.shape, left.shape[-1])  # [N, m, n, k]
        value = load(insert(left, -2).expand(shape))
        value = value * load(insert(columns, -3).expand(shape))
        self.reduce("sum", target, value, shape[-1:])

    def _product_by_columns(self, left: Array, right: Array, target: Array) -> None:
        """Few rows of the turned result, each a sum of columns of `left`."""
        turned = target.transpose((0, 2, 1))
        result = self.temporary(turned.shape)  # [N, n, m]
        shape = (*turned.shape, left.shape[-1])  # [N, n, m, k]
        value = load(insert(left, -3).expand(shape))
        weights = right.transpose((0, 2, 1))  # [N, n, k]
        value = value * load(insert(weights, -2).expand(shape))
        self.reduce("sum", result, value, shape[-1:])
        self.copy(turned, result)

    def _with_rows(self, array: Array) -> Array:
        """The array with neighbours in the last dimension next to each other."""
        if array.strides[-1] == 1:
            return array
        return self._copied(array)

    def _product_by_blas(self, left: Array, right: Array, target: Array) -> None:
        result = target if _is_matrix(target) else self.temporary(target.shape)
        self.append(Product(self._matrix(left), self._matrix(right), result))
        if result != target:
            self.copy(target, result)

    def _matrix(self, array: Array) -> Array:
        """The array as the BLAS library can read it."""
        if _is_matrix(array) or _is_matrix(_turned(array)):
            return array
        return self._copied(array)

    def _copied(self, array: Array) -> Array:
        """A copy without gaps."""
        copied = self.temporary(array.shape)
        self.copy(copied, array)
        return copied


def load(array: Array) -> Expression:
    """The elements of an array."""
    if array.type not in ("f32", "f64", "i64", "i1"):
        raise Unsupported(f"elements of {array.type}")
    return Load(array)


def _is_matrix(array: Array) -> bool:
    """Whether the BLAS library can read and write this memory."""
    return array.strides[-1] == 1 and array.strides[-2] >= array.shape[-1]


def _turned(array: Array) -> Array:
    return array.transpose((0, 2, 1))


def _combine(kind: Kind, terms: Sequence[Expression]) -> Expression:
    """Reduce a few formulas to one."""
    best = terms[0]
    if kind in ("argmax", "argmin"):
        place: Expression = Constant(0, "i64")
        better = "gt" if kind == "argmax" else "lt"
        for i, term in enumerate(terms[1:], 1):
            wins = compare(better, term, best)
            place = select(wins, Constant(i, "i64"), place)
            best = select(wins, term, best)
        return place
    for term in terms[1:]:
        if kind == "sum":
            best = best + term
        else:
            best = maximum(best, term) if kind == "amax" else minimum(best, term)
    return best
