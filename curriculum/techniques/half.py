"""Store the weights as float16."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curriculum.shipping import compact
from curriculum.types import Technique

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(kw_only=True)
class Half(Technique):
    """Files become half as large, and actions hardly ever change: 11 bits of every
    weight are kept. Calls compute with float32 and become no faster."""

    def compress(
        self, policy: nn.Module, obs: Tensor, seed: int
    ) -> dict[str, nn.Module]:
        """The policy "fp16"."""
        return {"fp16": compact.replaced(policy, lambda _, layer: compact.half(layer))}
