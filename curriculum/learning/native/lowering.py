"""Operations of torch as loops, reductions and matrix products."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from curriculum.learning.native.expressions import (
    Array,
    Constant,
    Expression,
    Gather,
    Load,
    Unsupported,
    call,
    cast,
    compare,
    promote,
    select,
)
from curriculum.learning.native.formulas import FORMULAS, maximum, minimum
from curriculum.learning.native.nodes import (
    Call,
    Kind,
    Loop,
    Node,
    Product,
    Reduction,
    Scatter,
    Store,
)
from curriculum.learning.native.trace import Operation, Storage, Trace
from curriculum.learning.native.transforms import (
    at,
    drop,
    drop_last,
    first,
    insert,
    squeeze,
)

# matrix products with an inner or last dimension up to this are faster as loops than in
# the BLAS library, and reductions of so few numbers as one formula
FEW = 8
# arguments that name where the result goes: `outputs` has it
TARGETS = ("out", "grad_input")
# and those that do not change numbers
IGNORED = (
    *("dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking"),
    *("requires_grad", "generator", "half_to_float", "sparse_grad"),
)


def lower(trace: Trace) -> list[Node]:
    """Turn recorded operations into steps; storages that these need in between are
    added to the trace."""
    lowering = _Lowering(trace.storages)
    for operation in trace.operations:
        lowering.add(operation)
    return lowering.nodes


class _Lowering:
    def __init__(self, storages: list[Storage]):
        self.storages = storages
        self.nodes: list[Node] = []
        # arrays padded with columns of zeros, by storage -> what they were made of
        self.padded: dict[int, Array] = {}

    def add(self, operation: Operation) -> None:
        """Append the steps of one operation."""
        done = len(self.nodes)
        try:
            if operation.name in FORMULAS:
                self._formula(operation)
            elif operation.name in HANDLERS:
                HANDLERS[operation.name](self, operation)
            else:
                raise Unsupported(operation.name)
        except Unsupported:
            del self.nodes[done:]
            self.nodes.append(Call(operation))

    # --- steps ---

    def store(self, target: Array, value: Expression) -> None:
        """Compute every element of `target`."""
        self.nodes.append(
            Loop(target.shape, (Store(target, cast(value, target.type)),))
        )

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
        sizes = tuple(size for size in reduced if size != 1)
        value = squeeze(value, len(target.shape), reduced)
        if not sizes:
            zero = Constant(0, "i64")
            self.store(target, zero if kind.startswith("arg") else value)
        elif len(sizes) == 1 and sizes[0] <= FEW:
            terms = [at(value, -1, place) for place in range(sizes[0])]
            self.store(target, _combine(kind, terms))
        else:
            self.nodes.append(Reduction(kind, target, value, sizes))

    def _formula(self, operation: Operation) -> None:
        (out,) = operation.outputs
        arguments = {}
        for name, value in operation.values.items():
            if name in TARGETS or name in IGNORED:
                continue
            if isinstance(value, Array):
                value = load(value.expand(out.shape))
            arguments[name] = value
        if operation.name == "_to_copy" and out.type == "i1":
            raise Unsupported("numbers as truth values")
        value = FORMULAS[operation.name](**arguments)
        self.store(out, _as_expression(value, out))

    # --- products ---

    def product(self, left: Array, right: Array, target: Array) -> None:
        """Matrix product [N, m, k] x [N, k, n]."""
        if {left.type, right.type, target.type} != {"f32"}:
            raise Unsupported("products of other types than float32")
        origin = self.padded.get(right.storage)
        if origin is not None and right.shape[:-1] == origin.shape[:-1]:
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
        self.nodes.append(Product(self._matrix(left), self._matrix(right), result))
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


# --- operations that are no formulas ---


def _fill_with(number: float) -> Callable[[_Lowering, Operation], None]:
    def handler(low: _Lowering, operation: Operation) -> None:
        low.fill(operation.outputs[0], number)

    return handler


def _full(low: _Lowering, operation: Operation) -> None:
    values = operation.values
    number = values["s"] if "s" in values else values["fill_value"]
    low.fill(operation.outputs[0], number)


def _sum(low: _Lowering, operation: Operation) -> None:
    _reduced(low, operation, "sum", lambda value: value)


def _mean(low: _Lowering, operation: Operation) -> None:
    count = _sizes(operation)
    out = operation.outputs[0]
    _reduced(low, operation, "sum", lambda value: value)
    low.store(out, load(out) / float(count))


def _norm(low: _Lowering, operation: Operation) -> None:
    if operation.values["ord"] != 2:
        raise Unsupported("a norm that is not Euclidean")
    out = operation.outputs[0]
    _reduced(low, operation, "sum", lambda value: value * value)
    low.store(out, call("sqrt", load(out)))


def _extreme(low: _Lowering, operation: Operation) -> None:
    kind: Any = operation.name
    _reduced(low, operation, kind, lambda value: value)


def _argument(low: _Lowering, operation: Operation) -> None:
    if operation.values["dim"] is None:
        raise Unsupported("a place in several dimensions")
    _extreme(low, operation)


def _reduced(
    low: _Lowering,
    operation: Operation,
    kind: Kind,
    function: Callable[[Expression], Expression],
) -> None:
    """Reduce over the dimensions that the operation names."""
    array = operation.values["self"]
    dims = _dims(operation)
    kept = [i for i in range(len(array.shape)) if i not in dims]
    out = operation.outputs[0]
    if len(out.shape) == len(array.shape):
        out = drop(out, dims)
    value = function(load(array.transpose([*kept, *dims])))
    low.reduce(kind, out, value, [array.shape[i] for i in dims])


def _dims(operation: Operation) -> list[int]:
    """The dimensions that an operation reduces."""
    rank = len(operation.values["self"].shape)
    dims = operation.values.get("dim")
    if isinstance(dims, int):
        dims = [dims]
    return sorted(dim % rank for dim in dims or range(rank))


def _sizes(operation: Operation) -> int:
    """How many numbers go into one."""
    count = 1
    for dim in _dims(operation):
        count *= operation.values["self"].shape[dim]
    return count


def _dot(low: _Lowering, operation: Operation) -> None:
    left = operation.values["self"]
    value = load(left) * load(operation.values["tensor"])
    low.reduce("sum", operation.outputs[0], value, left.shape)


def _bmm(low: _Lowering, operation: Operation) -> None:
    left = operation.values["self"]
    low.product(left, operation.values["mat2"], operation.outputs[0])


def _mm(low: _Lowering, operation: Operation) -> None:
    arrays = (
        operation.values["self"],
        operation.values["mat2"],
        operation.outputs[0],
    )
    low.product(*(insert(array, 0) for array in arrays))


def _cat(low: _Lowering, operation: Operation) -> None:
    out = operation.outputs[0]
    dim = operation.values["dim"]
    start = 0
    for array in operation.values["tensors"]:
        if len(array.shape) != len(out.shape):
            raise Unsupported("joining arrays without elements")
        length = array.shape[dim]
        low.copy(out.narrow(dim, start, length), array)
        start += length


def _pad(low: _Lowering, operation: Operation) -> None:
    array = operation.values["self"]
    out = operation.outputs[0]
    before, after = operation.values["pad"][:2]
    if len(operation.values["pad"]) > 2 or before < 0 or after < 0:
        raise Unsupported("padding of several dimensions")
    number = operation.values["value"]
    low.fill(out, number)
    low.copy(out.narrow(-1, before, array.shape[-1]), array)
    if before == 0 and number == 0:
        low.padded[out.storage] = array


def _slice_backward(low: _Lowering, operation: Operation) -> None:
    values = operation.values
    gradient = values["grad_output"]
    dim = values["dim"]
    if values["step"] != 1:
        raise Unsupported("slices with steps")
    out = operation.outputs[0]
    size = out.shape[dim]
    start = min(values["start"], size)
    start += size if start < 0 else 0
    low.fill(out, 0)
    low.copy(out.narrow(dim, start, gradient.shape[dim]), gradient)


def _select_backward(low: _Lowering, operation: Operation) -> None:
    values = operation.values
    out = operation.outputs[0]
    dim = values["dim"] % len(out.shape)
    place = values["index"] % out.shape[dim]
    low.fill(out, 0)
    low.copy(drop(out.narrow(dim, place, 1), [dim]), values["grad_output"])


def _gather(low: _Lowering, operation: Operation) -> None:
    out = operation.outputs[0]
    array = operation.values["self"]
    dim = operation.values["dim"] % len(array.shape)
    source = array.narrow(dim, 0, 1).expand(out.shape)
    if any(
        own < wanted
        for i, (own, wanted) in enumerate(zip(array.shape, out.shape, strict=True))
        if i != dim
    ):
        raise Unsupported("gathering more than there is")
    source = Array(
        array.storage,
        array.offset,
        out.shape,
        tuple(0 if i == dim else stride for i, stride in enumerate(array.strides)),
        array.type,
    )
    index = load(operation.values["index"])
    low.store(out, Gather(source, index, array.shape[dim], array.strides[dim]))


def _scatter_add(low: _Lowering, operation: Operation) -> None:
    values = operation.values
    out = operation.outputs[0]
    dim = values["dim"] % len(out.shape)
    index = values["index"]
    if out != values["self"]:
        low.copy(out, values["self"])
    strides = tuple(0 if i == dim else s for i, s in enumerate(out.strides))
    target = Array(out.storage, out.offset, index.shape, strides, out.type)
    source = values["src"]
    for i, size in enumerate(index.shape):
        source = source.narrow(i, 0, size)
    low.nodes.append(
        Scatter(target, load(index), out.shape[dim], out.strides[dim], load(source))
    )


def _log_softmax(low: _Lowering, operation: Operation) -> None:
    array, out, dim = _along(operation)
    highest, total = _exponential_sum(low, array, dim)
    low.store(out, load(array) - load(highest) - call("log", load(total)))


def _softmax(low: _Lowering, operation: Operation) -> None:
    array, out, dim = _along(operation)
    highest, total = _exponential_sum(low, array, dim)
    low.store(out, call("exp", load(array) - load(highest)) / load(total))


def _logsumexp(low: _Lowering, operation: Operation) -> None:
    array = operation.values["self"]
    dims = _dims(operation)
    if len(dims) != 1:
        raise Unsupported("the sum of exponentials over several dimensions")
    highest, total = _exponential_sum(low, array, dims[0])
    out = operation.outputs[0]
    if len(out.shape) == len(array.shape):
        out = drop(out, dims)
    logarithm = call("log", load(first(total, dims[0])))
    low.store(out, load(first(highest, dims[0])) + logarithm)


def _exponential_sum(low: _Lowering, array: Array, dim: int) -> tuple[Array, Array]:
    """The maximum over a dimension and the sum of exp(x - maximum), repeated over
    it."""
    kept = [i for i in range(len(array.shape)) if i != dim]
    turned = array.transpose([*kept, dim])
    sizes = turned.shape[-1:]
    highest = low.temporary(turned.shape[:-1])
    total = low.temporary(turned.shape[:-1])
    low.reduce("amax", highest, load(turned), sizes)
    shifted = load(turned) - load(insert(highest, -1).expand(turned.shape))
    low.reduce("sum", total, call("exp", shifted), sizes)
    return (
        insert(highest, dim).expand(array.shape),
        insert(total, dim).expand(array.shape),
    )


def _log_softmax_backward(low: _Lowering, operation: Operation) -> None:
    gradient, output, total = _gradient_sum(low, operation, weighted=False)
    slope = call("exp", load(output)) * load(total)
    low.store(operation.outputs[0], load(gradient) - slope)


def _softmax_backward(low: _Lowering, operation: Operation) -> None:
    gradient, output, total = _gradient_sum(low, operation, weighted=True)
    low.store(operation.outputs[0], load(output) * (load(gradient) - load(total)))


def _gradient_sum(
    low: _Lowering, operation: Operation, weighted: bool
) -> tuple[Array, Array, Array]:
    """Gradient, output, and the sum of the gradient, times the output if `weighted`."""
    gradient = operation.values["grad_output"]
    output = operation.values["output"]
    dim = operation.values["dim"] % len(output.shape)
    kept = [i for i in range(len(output.shape)) if i != dim]
    turned = load(gradient.transpose([*kept, dim]))
    if weighted:
        turned = turned * load(output.transpose([*kept, dim]))
    total = low.temporary([output.shape[i] for i in kept])
    low.reduce("sum", total, turned, [output.shape[dim]])
    return gradient, output, insert(total, dim).expand(output.shape)


def _layer_norm(low: _Lowering, operation: Operation) -> None:
    values = operation.values
    out, mean, deviation = operation.outputs
    if values["weight"] is not None or values["bias"] is not None:
        raise Unsupported("layer norm with learnt scale")
    array, sizes, count = _normalised(values["input"], values["normalized_shape"])
    flat_mean = drop_last(mean, len(sizes))
    flat_deviation = drop_last(deviation, len(sizes))
    low.reduce("sum", flat_mean, load(array), sizes)
    low.store(flat_mean, load(flat_mean) / count)
    centred = load(array) - load(mean.expand(array.shape))
    low.reduce("sum", flat_deviation, centred * centred, sizes)
    variance = load(flat_deviation) / count
    low.store(flat_deviation, 1 / call("sqrt", variance + values["eps"]))
    low.store(out, centred * load(deviation.expand(array.shape)))


def _layer_norm_backward(low: _Lowering, operation: Operation) -> None:
    values = operation.values
    if values["weight"] is not None or values["output_mask"][1:] != [False, False]:
        raise Unsupported("layer norm with learnt scale")
    array, sizes, count = _normalised(values["input"], values["normalized_shape"])
    gradient = load(values["grad_out"])
    scale = load(values["rstd"].expand(array.shape))
    normal = (load(array) - load(values["mean"].expand(array.shape))) * scale
    outer = array.shape[: -len(sizes)]
    totals = []
    for value in (gradient, gradient * normal):
        total = low.temporary(outer)
        low.reduce("sum", total, value, sizes)
        for _ in sizes:
            total = insert(total, -1)
        totals.append(load(total.expand(array.shape)) / count)
    low.store(operation.outputs[0], scale * (gradient - totals[0] - normal * totals[1]))


def _normalised(
    array: Array, shape: Sequence[int]
) -> tuple[Array, tuple[int, ...], float]:
    sizes = tuple(shape)
    count = 1
    for size in sizes:
        count *= size
    return array, sizes, float(count)


def _fused_adam(low: _Lowering, operation: Operation) -> None:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980, algorithm 1) as torch fuses it."""
    values = operation.values
    if values["weight_decay"] or values["amsgrad"] or values["maximize"]:
        raise Unsupported("variants of Adam")
    lists = ("self", "grads", "exp_avgs", "exp_avg_sqs", "state_steps")
    for weights, gradient, mean, square, steps in zip(
        *(values[name] for name in lists), strict=True
    ):
        decays = (values["beta1"], values["beta2"])
        step_size, root = _corrections(low, steps, values["lr"], decays)
        slope = load(gradient)
        low.store(mean, load(mean) + (slope - load(mean)) * (1 - decays[0]))
        low.store(square, load(square) * decays[1] + slope * slope * (1 - decays[1]))
        deviation = call("sqrt", load(square)) / load(root.expand(weights.shape))
        change = load(step_size.expand(weights.shape)) * load(mean)
        low.store(weights, load(weights) - change / (deviation + values["eps"]))


def _corrections(
    low: _Lowering, steps: Array, rate: Any, decays: tuple[float, float]
) -> tuple[Array, Array]:
    """The step size, and the root of the correction of squares, computed in float64 as
    1 - 0.999^n loses digits."""
    step_size = low.temporary(())
    root = low.temporary(())
    count = cast(load(steps), "f64")
    corrections = [1 - call("pow", Constant(decay, "f64"), count) for decay in decays]
    learning_rate = load(rate) if isinstance(rate, Array) else rate
    low.store(step_size, cast(learning_rate, "f64") / corrections[0])
    low.store(root, call("sqrt", corrections[1]))
    return step_size, root


HANDLERS: dict[str, Callable[[_Lowering, Operation], None]] = {
    "zeros": _fill_with(0),
    "zeros_like": _fill_with(0),
    "new_zeros": _fill_with(0),
    "ones": _fill_with(1),
    "ones_like": _fill_with(1),
    "new_ones": _fill_with(1),
    "full": _full,
    "full_like": _full,
    "new_full": _full,
    "scalar_tensor": _full,
    "sum": _sum,
    "mean": _mean,
    "linalg_vector_norm": _norm,
    "amax": _extreme,
    "amin": _extreme,
    "argmax": _argument,
    "argmin": _argument,
    "dot": _dot,
    "bmm": _bmm,
    "mm": _mm,
    "cat": _cat,
    "constant_pad_nd": _pad,
    "slice_backward": _slice_backward,
    "select_backward": _select_backward,
    "gather": _gather,
    "scatter_add": _scatter_add,
    "_log_softmax": _log_softmax,
    "_softmax": _softmax,
    "logsumexp": _logsumexp,
    "_log_softmax_backward_data": _log_softmax_backward,
    "_softmax_backward_data": _softmax_backward,
    "native_layer_norm": _layer_norm,
    "native_layer_norm_backward": _layer_norm_backward,
    "_fused_adam_": _fused_adam,
}


# --- arrays and formulas ---


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


def _along(operation: Operation) -> tuple[Array, Array, int]:
    array = operation.values["self"]
    return array, operation.outputs[0], operation.values["dim"] % len(array.shape)


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


def _as_expression(value: Any, out: Array) -> Expression:
    return promote(value)[0] if isinstance(value, Expression) else cast(value, out.type)
