"""What loops compute: arrays in memory and formulas over their elements."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch

Type = Literal["f32", "f64", "i64", "i1"]
TYPES: dict[torch.dtype, Type] = {
    torch.float32: "f32",
    torch.float64: "f64",
    torch.int64: "i64",
    torch.bool: "i1",
}
RANK: dict[Type, int] = {"i1": 0, "i64": 1, "f32": 2, "f64": 3}  # of promotion
Number = float | int | bool


class Unsupported(Exception):
    """An operation has no form as machine code."""


@dataclass(frozen=True)
class Array:
    """Elements in a block of memory: a tensor without its data."""

    storage: int  # which block
    offset: int  # of the first element, in elements
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements
    type: Type
    step: int = 0  # from one part of a group of steps to the next, in elements

    def expand(self, shape: Sequence[int]) -> Self:
        """Repeat this array to `shape`, by torch's rules of broadcasting."""
        missing = len(shape) - len(self.shape)
        strides = [0] * missing
        for own, wanted, stride in zip(
            self.shape, shape[missing:], self.strides, strict=True
        ):
            strides.append(stride if own == wanted else 0)
        return replace(self, shape=tuple(shape), strides=tuple(strides))

    def transpose(self, order: Sequence[int]) -> Self:
        """Put dimensions into another order."""
        shape = tuple(self.shape[i] for i in order)
        strides = tuple(self.strides[i] for i in order)
        return replace(self, shape=shape, strides=strides)

    def narrow(self, dim: int, start: int, length: int) -> Self:
        """Keep `length` elements of a dimension, from `start` on."""
        shape = list(self.shape)
        shape[dim] = length
        offset = self.offset + start * self.strides[dim]
        return replace(self, offset=offset, shape=tuple(shape))


class Expression:
    """A formula for one element of an array."""

    type: Type

    def parts(self) -> tuple["Expression", ...]:
        """What the formula is made of."""
        return ()

    def __add__(self, other: "Expression | Number") -> "Expression":
        return arithmetic("add", self, other)

    def __radd__(self, other: Number) -> "Expression":
        return arithmetic("add", other, self)

    def __sub__(self, other: "Expression | Number") -> "Expression":
        return arithmetic("sub", self, other)

    def __rsub__(self, other: Number) -> "Expression":
        return arithmetic("sub", other, self)

    def __mul__(self, other: "Expression | Number") -> "Expression":
        return arithmetic("mul", self, other)

    def __rmul__(self, other: Number) -> "Expression":
        return arithmetic("mul", other, self)

    def __truediv__(self, other: "Expression | Number") -> "Expression":
        return arithmetic("div", self, other)

    def __rtruediv__(self, other: Number) -> "Expression":
        return arithmetic("div", other, self)

    def __neg__(self) -> "Expression":
        return arithmetic("mul", self, -1)


@dataclass(frozen=True, eq=False)
class Load(Expression):
    """An element of an array that has the shape of the loop."""

    array: Array

    @property
    def type(self) -> Type:  # type: ignore[override]
        return self.array.type


@dataclass(frozen=True, eq=False)
class Gather(Expression):
    """The element of `array` at a computed place of one dimension, whose stride in
    `array` is 0; places outside of it count as the nearest one."""

    array: Array
    index: Expression
    size: int  # of that dimension
    stride: int

    @property
    def type(self) -> Type:  # type: ignore[override]
        return self.array.type

    def parts(self) -> tuple[Expression, ...]:
        return (self.index,)


@dataclass(frozen=True, eq=False)
class Constant(Expression):
    """The same number for every element."""

    value: Number
    type: Type


@dataclass(frozen=True, eq=False)
class Apply(Expression):
    """A function of other formulas."""

    function: str
    arguments: tuple[Expression, ...]
    type: Type

    def parts(self) -> tuple[Expression, ...]:
        return self.arguments


def walk(expression: Expression) -> Iterator[Expression]:
    """The formula and everything that it is made of."""
    yield expression
    for part in expression.parts():
        yield from walk(part)


def loads(expression: Expression) -> list[Array]:
    """The arrays that a formula reads."""
    return [part.array for part in walk(expression) if isinstance(part, Load | Gather)]


def touched(expression: Expression) -> list[Array]:
    """What a formula may read: as `loads`, with all that can be gathered."""
    found = []
    for part in walk(expression):
        if isinstance(part, Load):
            found.append(part.array)
        elif isinstance(part, Gather):
            shape = (*part.array.shape, part.size)
            strides = (*part.array.strides, part.stride)
            found.append(replace(part.array, shape=shape, strides=strides))
    return found


def cast(value: Expression | Number, wanted: Type) -> Expression:
    """Convert to another type."""
    if not isinstance(value, Expression):
        return Constant(value, wanted)
    if value.type == wanted:
        return value
    if isinstance(value, Constant):
        return Constant(value.value, wanted)
    return Apply("cast", (value,), wanted)


def promote(*values: Expression | Number) -> tuple[Expression, ...]:
    """Convert all to the widest type among the formulas; Python's numbers follow."""
    types = [value.type for value in values if isinstance(value, Expression)]
    if not types:
        raise Unsupported("an operation on Python's numbers alone")
    widest = max(types, key=lambda type: RANK[type])
    if RANK[widest] < RANK["f32"] and any(isinstance(v, float) for v in values):
        widest = "f32"
    return tuple(cast(value, widest) for value in values)


def arithmetic(
    function: str, left: Expression | Number, right: Expression | Number
) -> Expression:
    """Sum, difference, product or quotient, in the wider type."""
    arguments = promote(left, right)
    kind = arguments[0].type
    if kind == "i1" or (kind == "i64" and function == "div"):
        raise Unsupported(f"{function} of {kind}")
    return Apply(function, arguments, kind)


def compare(
    function: str, left: Expression | Number, right: Expression | Number
) -> Expression:
    """lt, le, gt, ge, eq or ne."""
    return Apply(function, promote(left, right), "i1")


def call(function: str, *arguments: Expression) -> Expression:
    """A function of real numbers, in the type of its arguments."""
    kind = arguments[0].type
    if RANK[kind] < RANK["f32"]:
        raise Unsupported(f"{function} of {kind}")
    return Apply(function, arguments, kind)


def logical(function: str, *arguments: Expression) -> Expression:
    """and, or, xor of truth values."""
    if any(argument.type != "i1" for argument in arguments):
        raise Unsupported(f"{function} of numbers")
    return Apply(function, arguments, "i1")


def select(
    condition: Expression, yes: Expression | Number, no: Expression | Number
) -> Expression:
    """`yes` where the condition holds, else `no`."""
    if condition.type != "i1":
        raise Unsupported("a condition that is a number")
    chosen = promote(yes, no)
    return Apply("select", (condition, *chosen), chosen[0].type)
