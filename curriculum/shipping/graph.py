"""Modules of torch for what policies in files do and no module of a learner does."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn


class Operation(nn.Module):
    """An operation of a policy file that has no module of its own."""

    def __init__(
        self, op: str, settings: dict[str, Any], compute: Callable[..., Tensor]
    ):
        super().__init__()
        self.op = op
        self.settings = settings  # as `Program.add` takes them
        self.compute = compute

    def forward(self, *values: Tensor) -> Tensor:
        """What the operation computes of its inputs."""
        return self.compute(*values)


class Graph(nn.Module):
    """Modules that take values of others: value 0 is the observation, value k what the
    k-th module gives."""

    def __init__(self, steps: Iterable[nn.Module], inputs: list[list[int]]):
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.inputs = inputs

    def forward(self, obs: Tensor) -> Tensor:
        """Observations [n, *O] -> scores."""
        values = [obs]
        for step, inputs in zip(self.steps, self.inputs, strict=True):
            values.append(step(*(values[index] for index in inputs)))
        return values[-1]


def kinds_of(policy: nn.Module) -> list[str]:
    """What a policy is made of, in words, each kind once."""
    parts = [policy]
    if isinstance(policy, nn.Sequential):
        parts = list(policy)
    elif isinstance(policy, Graph):
        parts = list(policy.steps)
    names = [
        part.op if isinstance(part, Operation) else type(part).__name__
        for part in parts
    ]
    return list(dict.fromkeys(names))
