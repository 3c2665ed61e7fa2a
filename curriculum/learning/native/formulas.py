"""Torch's operations on single elements, as formulas.

The names and arguments are those of torch. Comparisons are written so that nan stays
nan where torch keeps it.
"""

from collections.abc import Callable
from typing import Any

from curriculum.learning.native.expressions import (
    Constant,
    Expression,
    Number,
    Unsupported,
    call,
    cast,
    compare,
    logical,
    select,
)

Value = Any  # an expression or a number of Python


def add(self: Value, other: Value, alpha: Number = 1) -> Expression:
    return self + (other if alpha == 1 else other * alpha)


def sub(self: Value, other: Value, alpha: Number = 1) -> Expression:
    return self - (other if alpha == 1 else other * alpha)


def rsub(self: Value, other: Value, alpha: Number = 1) -> Expression:
    return other - (self if alpha == 1 else self * alpha)


def mul(self: Value, other: Value) -> Expression:
    return self * other


def div(self: Value, other: Value) -> Expression:
    return self / other


def maximum(self: Value, other: Value) -> Expression:
    larger = select(compare("gt", self, other), self, other)
    return select(compare("ne", self, self), self, larger)


def minimum(self: Value, other: Value) -> Expression:
    smaller = select(compare("lt", self, other), self, other)
    return select(compare("ne", self, self), self, smaller)


def clamp(self: Value, min: Value = None, max: Value = None) -> Expression:
    if min is not None:
        self = select(compare("lt", self, min), min, self)
    if max is not None:
        self = select(compare("gt", self, max), max, self)
    return self


def relu(self: Value) -> Expression:
    return select(compare("le", self, 0), 0, self)


def threshold_backward(
    grad_output: Value, self: Value, threshold: Number
) -> Expression:
    return select(compare("le", self, threshold), 0, grad_output)


def pow(self: Value, exponent: Value) -> Expression:
    if isinstance(exponent, Expression):
        raise Unsupported("a power with an exponent that is a tensor")
    powers: dict[Number, Callable[[], Expression]] = {
        0.5: lambda: call("sqrt", self),
        1: lambda: self,
        2: lambda: self * self,
        3: lambda: self * self * self,
        -1: lambda: 1 / self,
    }
    if exponent not in powers:
        raise Unsupported(f"the power {exponent}")
    return powers[exponent]()


def reciprocal(self: Value) -> Expression:
    return 1 / self


def square(self: Value) -> Expression:
    return self * self


def addcmul(
    self: Value, tensor1: Value, tensor2: Value, value: Number = 1
) -> Expression:
    product = tensor1 * tensor2
    return self + (product if value == 1 else product * value)


def addcdiv(
    self: Value, tensor1: Value, tensor2: Value, value: Number = 1
) -> Expression:
    quotient = tensor1 / tensor2
    return self + (quotient if value == 1 else quotient * value)


def lerp(self: Value, end: Value, weight: Number) -> Expression:
    if isinstance(weight, Expression):
        raise Unsupported("lerp with a weight that is a tensor")
    if weight < 0.5:
        return self + (end - self) * weight
    return end - (end - self) * (1 - weight)


def tanh_backward(grad_output: Value, output: Value) -> Expression:
    return grad_output * (1 - output * output)


def sigmoid(self: Value) -> Expression:
    return 1 / (1 + call("exp", -self))


def sigmoid_backward(grad_output: Value, output: Value) -> Expression:
    return grad_output * output * (1 - output)


def softplus(self: Value, beta: Number = 1, threshold: Number = 20) -> Expression:
    scaled = self * beta
    curved = call("log1p", call("exp", scaled)) / beta
    return select(compare("gt", scaled, threshold), self, curved)


def softplus_backward(
    grad_output: Value, self: Value, beta: Number, threshold: Number
) -> Expression:
    scaled = self * beta
    grown = call("exp", scaled)
    curved = grad_output * grown / (grown + 1)
    return select(compare("gt", scaled, threshold), grad_output, curved)


def huber_loss(
    self: Value, target: Value, reduction: int = 1, delta: Number = 1.0
) -> Expression:
    if reduction != 0:
        raise Unsupported("a Huber loss that is reduced")
    error = call("abs", self - target)
    quadratic = 0.5 * error * error
    linear = delta * (error - 0.5 * delta)
    return select(compare("lt", error, delta), quadratic, linear)


def huber_loss_backward(
    grad_output: Value, self: Value, target: Value, reduction: int, delta: Number
) -> Expression:
    if reduction != 0:
        raise Unsupported("a Huber loss that is reduced")
    error = self - target
    below = compare("lt", error, -delta)
    above = compare("gt", error, delta)
    slope = select(below, -delta, select(above, delta, error))
    return slope * grad_output


def where(condition: Value, self: Value, other: Value) -> Expression:
    return select(condition, self, other)


def masked_fill(self: Value, mask: Value, value: Value) -> Expression:
    return select(mask, cast(value, self.type), self)


def sign(self: Value) -> Expression:
    negative = select(compare("lt", self, 0), cast(-1, self.type), cast(0, self.type))
    return select(compare("gt", self, 0), cast(1, self.type), negative)


def logical_not(self: Value) -> Expression:
    return logical("xor", cast_to_truth(self), Constant(True, "i1"))


def bitwise_not(self: Value) -> Expression:
    return logical("xor", self, Constant(True, "i1"))


def cast_to_truth(value: Value) -> Expression:
    """Whether a number is not 0."""
    return value if value.type == "i1" else compare("ne", value, 0)


def _called(function: str) -> Callable[[Value], Expression]:
    return lambda self: call(function, self)


def _compared(function: str) -> Callable[[Value, Value], Expression]:
    return lambda self, other: compare(function, self, other)


def _logical(function: str) -> Callable[[Value, Value], Expression]:
    return lambda self, other: logical(
        function, cast_to_truth(self), cast_to_truth(other)
    )


def _bitwise(function: str) -> Callable[[Value, Value], Expression]:
    return lambda self, other: logical(function, self, other)


FORMULAS: dict[str, Callable[..., Expression]] = {
    function.__name__: function
    for function in (
        *(add, sub, rsub, mul, div, maximum, minimum, clamp, relu, pow, reciprocal),
        *(square, addcmul, addcdiv, lerp, tanh_backward, sigmoid, sigmoid_backward),
        *(softplus, softplus_backward, huber_loss, huber_loss_backward, where),
        *(masked_fill, sign, logical_not, bitwise_not, threshold_backward),
    )
}
FORMULAS |= {
    name: _called(name)
    for name in ("abs", "exp", "log", "log1p", "sqrt", "tanh", "atanh", "cos", "sin")
}
FORMULAS |= {name: _compared(name) for name in ("lt", "le", "gt", "ge", "eq", "ne")}
FORMULAS |= {
    "neg": lambda self: -self,
    "clamp_min": lambda self, min: clamp(self, min=min),
    "clamp_max": lambda self, max: clamp(self, max=max),
    "sgn": sign,
    "copy": lambda self, src: src,
    "clone": lambda self: self,
    "_to_copy": lambda self: self,
    "fill": lambda self, value: value,
    "zero": lambda self: Constant(0, self.type),
    "logical_and": _logical("and"),
    "logical_or": _logical("or"),
    "bitwise_and": _bitwise("and"),
    "bitwise_or": _bitwise("or"),
}
