"""Torch's operations that are more than one formula, as steps.

Each function appends the steps of one operation, with the name and the arguments that
it has in torch.
"""

from collections.abc import Callable, Sequence
from typing import Any

from curriculum.learning.native.builder import Builder, load
from curriculum.learning.native.expressions import (
    Array,
    Constant,
    Expression,
    Gather,
    Unsupported,
    call,
    cast,
)
from curriculum.learning.native.nodes import Kind, Scatter
from curriculum.learning.native.trace import Operation
from curriculum.learning.native.transforms import drop, drop_last, first, insert


def _fill_with(number: float) -> Callable[[Builder, Operation], None]:
    def handler(steps: Builder, operation: Operation) -> None:
        steps.fill(operation.outputs[0], number)

    return handler


def _full(steps: Builder, operation: Operation) -> None:
    values = operation.values
    number = values["s"] if "s" in values else values["fill_value"]
    steps.fill(operation.outputs[0], number)


def _sum(steps: Builder, operation: Operation) -> None:
    _reduced(steps, operation, "sum", lambda value: value)


def _mean(steps: Builder, operation: Operation) -> None:
    count = _sizes(operation)
    out = operation.outputs[0]
    _reduced(steps, operation, "sum", lambda value: value)
    steps.store(out, load(out) / float(count))


def _norm(steps: Builder, operation: Operation) -> None:
    if operation.values["ord"] != 2:
        raise Unsupported("a norm that is not Euclidean")
    out = operation.outputs[0]
    _reduced(steps, operation, "sum", lambda value: value * value)
    steps.store(out, call("sqrt", load(out)))


def _extreme(steps: Builder, operation: Operation) -> None:
    kind: Any = operation.name
    _reduced(steps, operation, kind, lambda value: value)


def _argument(steps: Builder, operation: Operation) -> None:
    if operation.values["dim"] is None:
        raise Unsupported("a place in several dimensions")
    _extreme(steps, operation)


def _reduced(
    steps: Builder,
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
    steps.reduce(kind, out, value, [array.shape[i] for i in dims])


def _dims(operation: Operation) -> list[int]:
    """The dimensions that an operation reduces."""
    array = operation.values["self"]
    dims = operation.values.get("dim")
    if isinstance(dims, int):
        dims = [dims]
    if not dims:
        return list(range(len(array.shape)))
    return sorted(_axis(dim, array) for dim in dims)


def _axis(dim: int, array: Array) -> int:
    """The number of a dimension, from the front."""
    if not array.shape:
        raise Unsupported("dimensions of a single number")
    return dim % len(array.shape)


def _sizes(operation: Operation) -> int:
    """How many numbers go into one."""
    count = 1
    for dim in _dims(operation):
        count *= operation.values["self"].shape[dim]
    return count


def _dot(steps: Builder, operation: Operation) -> None:
    left = operation.values["self"]
    value = load(left) * load(operation.values["tensor"])
    steps.reduce("sum", operation.outputs[0], value, left.shape)


def _bmm(steps: Builder, operation: Operation) -> None:
    left = operation.values["self"]
    steps.product(left, operation.values["mat2"], operation.outputs[0])


def _mm(steps: Builder, operation: Operation) -> None:
    arrays = (
        operation.values["self"],
        operation.values["mat2"],
        operation.outputs[0],
    )
    steps.product(*(insert(array, 0) for array in arrays))


def _cat(steps: Builder, operation: Operation) -> None:
    out = operation.outputs[0]
    dim = operation.values["dim"]
    start = 0
    for array in operation.values["tensors"]:
        if len(array.shape) != len(out.shape):
            raise Unsupported("joining arrays without elements")
        length = array.shape[dim]
        steps.copy(out.narrow(dim, start, length), array)
        start += length


def _pad(steps: Builder, operation: Operation) -> None:
    array = operation.values["self"]
    out = operation.outputs[0]
    before, after = operation.values["pad"][:2]
    if len(operation.values["pad"]) > 2 or before < 0 or after < 0:
        raise Unsupported("padding of several dimensions")
    number = operation.values["value"]
    steps.fill(out, number)
    steps.copy(out.narrow(-1, before, array.shape[-1]), array)
    if before == 0 and number == 0:
        steps.padded[out] = array


def _slice_backward(steps: Builder, operation: Operation) -> None:
    values = operation.values
    gradient = values["grad_output"]
    dim = values["dim"]
    if values["step"] != 1:
        raise Unsupported("slices with steps")
    out = operation.outputs[0]
    size = out.shape[dim]
    start = min(values["start"], size)
    start += size if start < 0 else 0
    steps.fill(out, 0)
    steps.copy(out.narrow(dim, start, gradient.shape[dim]), gradient)


def _select_backward(steps: Builder, operation: Operation) -> None:
    values = operation.values
    out = operation.outputs[0]
    dim = _axis(values["dim"], out)
    place = values["index"] % out.shape[dim]
    steps.fill(out, 0)
    steps.copy(drop(out.narrow(dim, place, 1), [dim]), values["grad_output"])


def _gather(steps: Builder, operation: Operation) -> None:
    out = operation.outputs[0]
    array = operation.values["self"]
    dim = _axis(operation.values["dim"], array)
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
    steps.store(out, Gather(source, index, array.shape[dim], array.strides[dim]))


def _scatter_add(steps: Builder, operation: Operation) -> None:
    values = operation.values
    out = operation.outputs[0]
    dim = _axis(values["dim"], out)
    index = values["index"]
    if out != values["self"]:
        steps.copy(out, values["self"])
    strides = tuple(0 if i == dim else s for i, s in enumerate(out.strides))
    target = Array(out.storage, out.offset, index.shape, strides, out.type)
    source = values["src"]
    for i, size in enumerate(index.shape):
        source = source.narrow(i, 0, size)
    steps.append(
        Scatter(target, load(index), out.shape[dim], out.strides[dim], load(source))
    )


def _log_softmax(steps: Builder, operation: Operation) -> None:
    array, out, dim = _along(operation)
    highest, total = _exponential_sum(steps, array, dim)
    steps.store(out, load(array) - load(highest) - call("log", load(total)))


def _softmax(steps: Builder, operation: Operation) -> None:
    array, out, dim = _along(operation)
    highest, total = _exponential_sum(steps, array, dim)
    steps.store(out, call("exp", load(array) - load(highest)) / load(total))


def _logsumexp(steps: Builder, operation: Operation) -> None:
    array = operation.values["self"]
    dims = _dims(operation)
    if len(dims) != 1:
        raise Unsupported("the sum of exponentials over several dimensions")
    highest, total = _exponential_sum(steps, array, dims[0])
    out = operation.outputs[0]
    if len(out.shape) == len(array.shape):
        out = drop(out, dims)
    logarithm = call("log", load(first(total, dims[0])))
    steps.store(out, load(first(highest, dims[0])) + logarithm)


def _exponential_sum(steps: Builder, array: Array, dim: int) -> tuple[Array, Array]:
    """The maximum over a dimension and the sum of exp(x - maximum), repeated over
    it."""
    kept = [i for i in range(len(array.shape)) if i != dim]
    turned = array.transpose([*kept, dim])
    sizes = turned.shape[-1:]
    highest = steps.temporary(turned.shape[:-1])
    total = steps.temporary(turned.shape[:-1])
    steps.reduce("amax", highest, load(turned), sizes)
    shifted = load(turned) - load(insert(highest, -1).expand(turned.shape))
    steps.reduce("sum", total, call("exp", shifted), sizes)
    return (
        insert(highest, dim).expand(array.shape),
        insert(total, dim).expand(array.shape),
    )


def _log_softmax_backward(steps: Builder, operation: Operation) -> None:
    gradient, output, total = _gradient_sum(steps, operation, weighted=False)
    slope = call("exp", load(output)) * load(total)
    steps.store(operation.outputs[0], load(gradient) - slope)


def _softmax_backward(steps: Builder, operation: Operation) -> None:
    gradient, output, total = _gradient_sum(steps, operation, weighted=True)
    steps.store(operation.outputs[0], load(output) * (load(gradient) - load(total)))


def _gradient_sum(
    steps: Builder, operation: Operation, weighted: bool
) -> tuple[Array, Array, Array]:
    """Gradient, output, and the sum of the gradient, times the output if `weighted`."""
    gradient = operation.values["grad_output"]
    output = operation.values["output"]
    dim = _axis(operation.values["dim"], output)
    kept = [i for i in range(len(output.shape)) if i != dim]
    turned = load(gradient.transpose([*kept, dim]))
    if weighted:
        turned = turned * load(output.transpose([*kept, dim]))
    total = steps.temporary([output.shape[i] for i in kept])
    steps.reduce("sum", total, turned, [output.shape[dim]])
    return gradient, output, insert(total, dim).expand(output.shape)


def _layer_norm(steps: Builder, operation: Operation) -> None:
    values = operation.values
    out, mean, deviation = operation.outputs
    if values["weight"] is not None or values["bias"] is not None:
        raise Unsupported("layer norm with learnt scale")
    array, sizes, count = _normalised(values["input"], values["normalized_shape"])
    flat_mean = drop_last(mean, len(sizes))
    flat_deviation = drop_last(deviation, len(sizes))
    steps.reduce("sum", flat_mean, load(array), sizes)
    steps.store(flat_mean, load(flat_mean) / count)
    centred = load(array) - load(mean.expand(array.shape))
    steps.reduce("sum", flat_deviation, centred * centred, sizes)
    variance = load(flat_deviation) / count
    steps.store(flat_deviation, 1 / call("sqrt", variance + values["eps"]))
    steps.store(out, centred * load(deviation.expand(array.shape)))


def _layer_norm_backward(steps: Builder, operation: Operation) -> None:
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
        total = steps.temporary(outer)
        steps.reduce("sum", total, value, sizes)
        for _ in sizes:
            total = insert(total, -1)
        totals.append(load(total.expand(array.shape)) / count)
    steps.store(
        operation.outputs[0], scale * (gradient - totals[0] - normal * totals[1])
    )


def _normalised(
    array: Array, shape: Sequence[int]
) -> tuple[Array, tuple[int, ...], float]:
    sizes = tuple(shape)
    count = 1
    for size in sizes:
        count *= size
    return array, sizes, float(count)


def _fused_adam(steps: Builder, operation: Operation) -> None:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980, algorithm 1) as torch fuses it."""
    values = operation.values
    if values["weight_decay"] or values["amsgrad"] or values["maximize"]:
        raise Unsupported("variants of Adam")
    lists = ("self", "grads", "exp_avgs", "exp_avg_sqs", "state_steps")
    for weights, gradient, mean, square, count in zip(
        *(values[name] for name in lists), strict=True
    ):
        decays = (values["beta1"], values["beta2"])
        step_size, root = _corrections(steps, count, values["lr"], decays)
        slope = load(gradient)
        steps.store(mean, load(mean) + (slope - load(mean)) * (1 - decays[0]))
        old = load(square) * decays[1]
        steps.store(square, old + slope * slope * (1 - decays[1]))
        deviation = call("sqrt", load(square)) / load(root.expand(weights.shape))
        change = load(step_size.expand(weights.shape)) * load(mean)
        steps.store(weights, load(weights) - change / (deviation + values["eps"]))


def _corrections(
    steps: Builder, count: Array, learning_rate: Any, decays: tuple[float, float]
) -> tuple[Array, Array]:
    """The step size, and the root of the correction of squares, computed in float64 as
    1 - 0.999^count loses digits."""
    step_size = steps.temporary(())
    root = steps.temporary(())
    power = cast(load(count), "f64")
    corrections = [1 - call("pow", Constant(decay, "f64"), power) for decay in decays]
    if isinstance(learning_rate, Array):
        learning_rate = load(learning_rate)
    steps.store(step_size, cast(learning_rate, "f64") / corrections[0])
    steps.store(root, call("sqrt", corrections[1]))
    return step_size, root


def _along(operation: Operation) -> tuple[Array, Array, int]:
    array = operation.values["self"]
    return array, operation.outputs[0], _axis(operation.values["dim"], array)


HANDLERS: dict[str, Callable[[Builder, Operation], None]] = {
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
