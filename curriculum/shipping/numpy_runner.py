"""A dense policy as a numpy function, without torch."""

from collections.abc import Callable
from math import prod

import numpy as np

from curriculum.shipping.layers import Layer

# observations [*O] or [n, *O] -> scores or box actions [A] or [n, A] float32
Forward = Callable[[np.ndarray], np.ndarray]


def runner(mean: np.ndarray, scale: np.ndarray, layers: list[Layer]) -> Forward:
    """Make the function that normalises observations and applies the layers.

    Preallocated buffers were measured to save no time, so calls share no memory."""
    *hidden, last = [_prepared(layer) for layer in layers]
    last_weight, last_bias, _, tanh = last
    zero = np.float32(0)  # a Python 0 costs 0.3 us more in each call

    def forward(obs: np.ndarray) -> np.ndarray:
        x = np.asarray(obs, np.float32)
        is_batch = x.ndim > 1 and prod(x.shape[1:]) == mean.size
        x = x.reshape((-1, mean.size) if is_batch else mean.size)
        x = (x - mean) * scale
        for weight, bias, eps, _ in hidden:
            x = x.dot(weight)
            x += bias
            if eps:
                variance = np.vecdot(x, x) / len(bias)
                x /= np.sqrt(variance + eps)[..., None]
            np.maximum(x, zero, out=x)
        x = x.dot(last_weight) + last_bias
        return np.tanh(x) if tanh else x

    return forward


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
