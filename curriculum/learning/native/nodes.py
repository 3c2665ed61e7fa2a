"""The steps that recorded operations are turned into."""

from dataclasses import dataclass, replace
from typing import Literal

from curriculum.learning.native.expressions import Array, Expression, touched
from curriculum.learning.native.trace import Operation

Kind = Literal["sum", "amax", "amin", "argmax", "argmin"]


@dataclass(frozen=True)
class Store:
    """What a loop writes."""

    target: Array
    value: Expression


@dataclass(frozen=True)
class Loop:
    """The same formulas for every element of a shape; no element depends on another."""

    shape: tuple[int, ...]
    stores: tuple[Store, ...]

    @property
    def read(self) -> list[Array]:
        """Arrays that are read, apart from what the loop itself has just written."""
        written: set[Array] = set()
        found = []
        for store in self.stores:
            found += [array for array in touched(store.value) if array not in written]
            written.add(store.target)
        return found

    @property
    def written(self) -> list[Array]:
        """Arrays that are written."""
        return [store.target for store in self.stores]


@dataclass(frozen=True)
class Reduction:
    """One number for each element of `target`, from a formula over `reduced` more
    dimensions, which come last."""

    kind: Kind
    target: Array
    value: Expression  # of the shape of `target`, then `reduced`
    reduced: tuple[int, ...]

    @property
    def read(self) -> list[Array]:
        """Arrays that are read."""
        return touched(self.value)

    @property
    def written(self) -> list[Array]:
        """Arrays that are written."""
        return [self.target]


@dataclass(frozen=True)
class Scatter:
    """Add the elements of a formula to computed places of `target`, whose stride is 0
    in the indexed dimension."""

    target: Array
    index: Expression
    size: int  # of the indexed dimension
    stride: int
    value: Expression

    @property
    def read(self) -> list[Array]:
        """Arrays that are read."""
        return [*self.written, *touched(self.index), *touched(self.value)]

    @property
    def written(self) -> list[Array]:
        """Arrays that are written: all places of the indexed dimension may be."""
        shape = (*self.target.shape, self.size)
        strides = (*self.target.strides, self.stride)
        return [replace(self.target, shape=shape, strides=strides)]


@dataclass(frozen=True)
class Product:
    """Matrix product [N, m, k] x [N, k, n], by the BLAS library."""

    left: Array
    right: Array
    target: Array

    @property
    def read(self) -> list[Array]:
        """Arrays that are read."""
        return [self.left, self.right]

    @property
    def written(self) -> list[Array]:
        """Arrays that are written."""
        return [self.target]


@dataclass(frozen=True)
class Call:
    """An operation that is left to torch."""

    operation: Operation

    @property
    def read(self) -> list[Array]:
        """Arrays that are read, or written in place."""
        return arrays_in(self.operation.values)

    @property
    def written(self) -> list[Array]:
        """Arrays that are written."""
        return self.operation.outputs


Node = Loop | Reduction | Scatter | Product | Call


def arrays_in(value: object) -> list[Array]:
    """The arrays in nested containers."""
    if isinstance(value, Array):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [array for part in value for array in arrays_in(part)]
    return []
