"""The dense layers of an exported policy: taken out of it, and put together to one.

A dense policy is normaliser, Linear, ReLU, ..., Linear, perhaps with LayerNorm before
each ReLU. It gives scores [n, actions], of which the largest acts, or it ends in Tanh
and gives box actions [n, A] in [-1, 1].
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn


class Layer(NamedTuple):
    """A dense layer, and what follows it."""

    weight: np.ndarray  # [out, in] float32
    bias: np.ndarray  # [out] float32
    # of a LayerNorm without learnt scale and shift behind it; 0: there is none
    eps: float = 0.0
    tanh: bool = False  # only of a last layer: it gives box actions


class Unsupported(TypeError):
    """A technique cannot take this kind of policy; the message says why in one
    sentence."""


def dense(policy: nn.Module) -> list[Layer]:
    """Copy the dense layers out of `policy`; Unsupported where it is of another
    kind."""
    from torch import nn

    first, *rest = policy if isinstance(policy, nn.Sequential) else [policy]
    letters = "".join(map(_letter, rest))
    if not (
        hasattr(first, "mean")
        and hasattr(first, "scale")
        and re.fullmatch("(DN?R)*DT?", letters)
    ):
        kinds = ", ".join(dict.fromkeys(type(part).__name__ for part in (first, *rest)))
        raise Unsupported(
            f"only a normaliser, then Linear, ReLU, ..., Linear can be taken apart; this policy is made of {kinds}"
        )
    layers: list[Layer] = []
    for part in rest:
        if isinstance(part, nn.Linear):
            layers.append(Layer(array_of(part.weight), array_of(part.bias)))
        elif isinstance(part, nn.LayerNorm):
            layers[-1] = layers[-1]._replace(eps=part.eps)
    return [*layers[:-1], layers[-1]._replace(tanh=letters.endswith("T"))]


def _letter(part: nn.Module) -> str:
    from torch import nn

    if isinstance(part, nn.Linear) and part.bias is None:
        return "?"
    if isinstance(part, nn.LayerNorm) and (part.elementwise_affine or not part.eps > 0):
        return "?"
    return {nn.Linear: "D", nn.LayerNorm: "N", nn.ReLU: "R", nn.Tanh: "T"}.get(
        type(part), "?"
    )


def assemble(normaliser: nn.Module, layers: list[Layer]) -> nn.Sequential:
    """Build the policy of these dense layers, the inverse of `dense`; draws no random
    numbers."""
    import torch
    from torch import nn

    parts = [normaliser]
    for weight, bias, eps, _ in layers:
        # "meta": nothing is initialised
        linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
        linear.weight, linear.bias = (
            nn.Parameter(torch.tensor(weight)),
            nn.Parameter(torch.tensor(bias)),
        )
        norm = (
            [nn.LayerNorm(len(bias), eps=eps, elementwise_affine=False)] if eps else []
        )
        parts += [linear, *norm, nn.ReLU()]
    return nn.Sequential(*parts[:-1], *([nn.Tanh()] if layers[-1].tanh else []))


def array_of(tensor: Tensor) -> np.ndarray:
    """Copy a tensor as float32."""
    return tensor.detach().cpu().numpy().astype(np.float32)
