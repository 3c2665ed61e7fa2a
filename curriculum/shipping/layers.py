"""The dense layers of an exported policy: extracted from it, and assembled to one.

A dense policy is normaliser, Linear, ReLU, ..., Linear, with or without LayerNorm
before each ReLU. It gives scores [n, actions], of which the largest acts, or it ends in
Tanh and gives box actions [n, A] in [-1, 1].
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

# a dense policy after its normaliser, one letter for each module (see `_letter`)
DENSE = re.compile("(DN?R)*DT?")


class Layer(NamedTuple):
    """A dense layer, and what follows it."""

    weight: np.ndarray  # [out, in] float32
    bias: np.ndarray  # [out] float32
    # of the LayerNorm without learnt scale and shift that follows; 0: there is none
    eps: float = 0.0
    tanh: bool = False  # only in a last layer: it gives box actions


class Unsupported(TypeError):
    """A technique cannot take this kind of policy; the message says why in one
    sentence."""


def dense(policy: nn.Module) -> list[Layer]:
    """Copy the dense layers of `policy`, with the weights that their files restore;
    raises Unsupported for other policies."""
    from torch import nn

    from curriculum.shipping.compact import Compact
    from curriculum.shipping.graph import kinds_of

    parts = list(policy) if isinstance(policy, nn.Sequential) else [policy]
    modules = [part.layer if isinstance(part, Compact) else part for part in parts]
    letters = "".join(_letter(module) for module in modules[1:])
    if not (_is_normaliser(modules[0]) and DENSE.fullmatch(letters)):
        kinds = ", ".join(kinds_of(policy))
        raise Unsupported(
            "only a normaliser, then Linear, ReLU, ..., Linear can be taken apart; "
            f"this policy is made of {kinds}"
        )
    layers: list[Layer] = []
    for module in modules[1:]:
        if isinstance(module, nn.Linear):
            layers.append(Layer(array_of(module.weight), array_of(module.bias)))
        elif isinstance(module, nn.LayerNorm):
            layers[-1] = layers[-1]._replace(eps=module.eps)
    layers[-1] = layers[-1]._replace(tanh=letters.endswith("T"))
    return layers


def _is_normaliser(module: nn.Module) -> bool:
    from curriculum.learning.normalizer import Normalize

    return isinstance(module, Normalize)


def _letter(module: nn.Module) -> str:
    """D dense, N normalisation, R ReLU, T Tanh, ? anything else."""
    from torch import nn

    if isinstance(module, nn.Linear) and module.bias is None:
        return "?"
    if isinstance(module, nn.LayerNorm) and (
        module.elementwise_affine or not module.eps > 0
    ):
        return "?"
    # the exact type: a subclass may compute something else
    letters = {nn.Linear: "D", nn.LayerNorm: "N", nn.ReLU: "R", nn.Tanh: "T"}
    return letters.get(type(module), "?")


def assemble(normaliser: nn.Module, layers: list[Layer]) -> nn.Sequential:
    """Build the policy of these dense layers, the inverse of `dense`; draws no random
    numbers."""
    import torch
    from torch import nn

    modules = [normaliser]
    for layer in layers:
        outputs, inputs = layer.weight.shape
        # on the device "meta" nothing is initialised
        linear = nn.Linear(inputs, outputs, device="meta")
        linear.weight = nn.Parameter(torch.tensor(layer.weight))
        linear.bias = nn.Parameter(torch.tensor(layer.bias))
        modules.append(linear)
        if layer.eps:
            norm = nn.LayerNorm(outputs, eps=layer.eps, elementwise_affine=False)
            modules.append(norm)
        modules.append(nn.ReLU())
    modules.pop()  # the last layer has no ReLU
    if layers[-1].tanh:
        modules.append(nn.Tanh())
    return nn.Sequential(*modules)


def array_of(tensor: Tensor) -> np.ndarray:
    """Copy a tensor as float32."""
    return tensor.detach().cpu().numpy().astype(np.float32)
