"""A dense policy as a numpy function, without torch."""

from collections.abc import Callable
from math import isfinite, prod

import numpy as np

from curriculum.shipping.layers import Layer

# observations [*O] or [n, *O] -> scores or box actions [A] or [n, A] float32
Forward = Callable[[np.ndarray], np.ndarray]


def runner(
    mean: np.ndarray, scale: np.ndarray, layers: list[Layer], limit: float = 0.0
) -> Forward:
    """Make the function that normalises observations, clips them to [-limit, limit]
    unless it is 0, and applies the layers.

    ValueError where an output is not a number: the highest of such scores is an action
    that nobody chose.
    Preallocated buffers were measured to save no time, so calls share no memory."""
    *hidden, last = [_prepared(layer) for layer in layers]
    last_weight, last_bias, _, tanh = last
    zero = np.float32(0)  # a Python 0 costs 0.3 us more in each call
    highest = np.float32(limit)
    lowest = -highest

    def forward(obs: np.ndarray) -> np.ndarray:
        x = np.asarray(obs, np.float32)
        is_batch = x.ndim > 1 and prod(x.shape[1:]) == mean.size
        if not is_batch and x.size != mean.size:
            raise _wrong_shape(mean.size, x.shape)
        x = x.reshape((-1, mean.size) if is_batch else mean.size)
        x = (x - mean) * scale
        if limit:
            np.minimum(x, highest, out=x)
            np.maximum(x, lowest, out=x)
        for weight, bias, eps, _ in hidden:
            x = x.dot(weight)
            x += bias
            if eps:
                variance = np.vecdot(x, x) / len(bias)
                x /= np.sqrt(variance + eps)[..., None]
            np.maximum(x, zero, out=x)
        x = x.dot(last_weight) + last_bias
        if tanh:
            np.tanh(x, out=x)
        require_numbers(x)
        return x

    return forward


def require_numbers(output: np.ndarray) -> None:
    """Raise ValueError where the output of a policy holds nan or infinity."""
    # a sum of squares is the fastest test; it may overflow, though
    if isfinite(np.vdot(output, output)) or np.isfinite(output).all():
        return
    raise ValueError(
        "the policy gives numbers that are not finite: its observation holds such "
        "numbers or very large ones"
    )


def _wrong_shape(numbers: int, shape: tuple[int, ...]) -> ValueError:
    return ValueError(
        f"an observation has {numbers} numbers, a batch has one more axis in front; "
        f"got shape {shape}"
    )


def _prepared(layer: Layer) -> Layer:
    """The layer with its weight transposed to [in, out].

    LayerNorm subtracts the mean over units, which is linear: it is subtracted from
    weight and bias here, once."""
    weight = layer.weight
    bias = layer.bias
    if layer.eps:
        weight = weight - weight.mean(0, np.float64)
        bias = bias - bias.mean(dtype=np.float64)
    return layer._replace(
        weight=weight.astype(np.float32).T, bias=bias.astype(np.float32)
    )
