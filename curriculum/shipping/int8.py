"""Weights rounded to int8: symmetric, with one scale for each output channel."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from curriculum.types import Deployable

if TYPE_CHECKING:
    from torch import nn

LARGEST = 127  # the largest weight of a channel is rounded to this


def quantized(policy: Deployable) -> Deployable:
    """Round the weights of Linear and Conv2d to int8; the scale of an output channel is
    its largest absolute weight / 127."""
    import torch

    arrays = dict(policy.arrays)
    module = copy.deepcopy(policy.module)
    for index, (name, layer) in enumerate(_layers(module)):
        # a dense policy counts its layers, any other names them
        prefix = name if "torch" in arrays else str(index)
        key = f"{prefix}.weight".removeprefix(".")
        if key not in arrays:  # a weight that the module computes from others
            continue
        weight = arrays[key]
        scale = np.abs(weight).reshape(len(weight), -1).max(-1) / LARGEST  # [out]
        scale[scale == 0] = 1  # a channel of zeros stays zero
        rounded = np.rint(weight / _broadcast(scale, weight)).astype(np.int8)
        arrays[key] = rounded
        arrays[scale_name(key)] = scale
        layer.weight.data = torch.tensor(dequantized(arrays, key))
    return Deployable(module, arrays)


def dequantized(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The weight `name` as float32, or as it is if it was not rounded."""
    weight = arrays[name]
    scale = arrays.get(scale_name(name))
    if scale is None:
        return weight
    return weight.astype(np.float32) * _broadcast(scale, weight)


def scale_name(name: str) -> str:
    """Name of the array that holds the scales [out] of a rounded weight."""
    return f"{name}_scale"


def _layers(module: nn.Module) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
    from torch import nn

    # the file holds a layer that is used twice under both names
    for name, layer in module.named_modules(remove_duplicate=False):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            yield name, layer


def _broadcast(scale: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return scale.reshape(-1, *[1] * (weight.ndim - 1))  # [out, 1, ...]
