"""Set the smallest weights to zero: unstructured pruning (Han et al. 2015)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curriculum.shipping import compact
from curriculum.types import Technique

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(kw_only=True)
class Sparsify(Technique):
    """arXiv 1506.02626, without the training that follows there. A contrast to `prune`:
    the shapes of all layers stay, so neither bytes, memory nor latency change. Only
    hardware for sparse products would gain."""

    share: float = 0.5  # of the weights of each layer that become 0, in [0, 1)

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(
                f"share of weights to set to zero must be in [0, 1), got {self.share:g}"
            )

    def compress(
        self, policy: nn.Module, obs: Tensor, seed: int
    ) -> dict[str, nn.Module]:
        """The policy "sparse"."""
        return {
            "sparse": compact.replaced(policy, lambda _, layer: self._sparse(layer))
        }

    def _sparse(self, layer: compact.Layer) -> compact.Layer:
        changed = copy.deepcopy(layer)
        weights = changed.weight.detach().flatten()  # shares its memory
        smallest = weights.abs().argsort(stable=True)[: int(self.share * len(weights))]
        weights[smallest] = 0
        return changed
