"""Store the weights as int8: symmetric, one scale per output channel, biases
float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curriculum.shipping.artefact import deployable, quantized
from curriculum.types import Deployable

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(kw_only=True)
class Quantize:
    """Weight-only and dequantised on load: it buys bytes (almost 4x) and no speed.

    One observation through a policy of 128 to 256 units is a few small products that
    take less time than rounding the activations to int8 would add; int8 arithmetic pays
    for large batches, or from about 1,000 units on."""

    def compress(
        self, policy: nn.Module, obs: Tensor, seed: int
    ) -> dict[str, Deployable]:
        """The policy with rounded weights, each off by at most half its channel's
        scale."""
        return {"int8": quantized(deployable(policy))}
