"""Store the weights as int8, with one float32 scale per output channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curriculum.shipping import compact
from curriculum.types import Technique

if TYPE_CHECKING:
    from torch import Tensor, nn

NAMES = {  # of the variants
    "float32": "int8",
    "dynamic": "int8-dynamic",
    "static": "int8-static",
}


@dataclass(kw_only=True)
class Quantize(Technique):
    """Weights are rounded symmetrically: files become almost 4 times smaller.

    Numpy and torch compute with restored float32 weights, so calls become no faster;
    int8 products, which onnxruntime computes, pay for large batches, or from about
    1,000 units on. They need inputs of every layer that are int8 as well. Static steps
    come from the largest inputs on the observations of the buffer, dynamic ones from
    each observation."""

    # inputs of layers, a variant for each; float32: as they are; dynamic, static: int8
    # by a step of each observation's own, or by one for all
    activations: tuple[str, ...] = ("float32",)

    def __post_init__(self) -> None:
        unknown = [name for name in self.activations if name not in NAMES]
        if unknown or not self.activations:
            raise ValueError(
                f"activations must be some of {', '.join(NAMES)}, got "
                f"{' '.join(self.activations) or 'none'}"
            )

    def compress(
        self, policy: nn.Module, obs: Tensor, seed: int
    ) -> dict[str, nn.Module]:
        """The policies "int8", "int8-dynamic" and "int8-static", as far as they are
        wanted; each weight differs by at most half its channel's scale."""
        return {NAMES[kind]: _rounded(policy, obs, kind) for kind in self.activations}


def _rounded(policy: nn.Module, obs: Tensor, kind: str) -> nn.Module:
    """The policy with int8 weights, and inputs of this kind."""
    if kind != "static":
        step = 0.0 if kind == "dynamic" else None
        return compact.replaced(policy, lambda _, layer: compact.int8(layer, step))
    if len(obs) == 0:
        raise ValueError("there are no observations to find static steps on")
    largest = compact.largest_inputs(policy, obs)
    return compact.replaced(
        policy,
        # an input that is always 0 may have any step
        lambda name, layer: compact.int8(layer, largest[name] / compact.LARGEST or 1.0),
    )
