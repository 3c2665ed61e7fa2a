"""The unit of a bonus: the running standard deviation of what it is made of."""

import torch
from torch import Tensor

# smallest deviation, as a share of the mean
LEAST_DEVIATION = 0.01


class Deviation:
    """Running standard deviation of the numbers of each seed.

    With `memory` the older ones fade: a batch counts 1/e as much after so many others;
    0: all count the same."""

    def __init__(self, seeds: int, device: str, memory: int = 0):
        # count, sum and sum of squares, [3, P]
        self.sums = torch.zeros(3, seeds, dtype=torch.float64, device=device)
        self.forgotten = 1 / memory if memory else 0.0

    def add(self, numbers: Tensor, present: Tensor) -> None:
        """Take in numbers [P, n] of the seeds that are 1 in `present` [P]."""
        count = torch.full_like(numbers[:, 0], numbers.shape[-1])
        total = numbers.sum(-1)
        squares = numbers.square().sum(-1)
        self.sums *= 1 - self.forgotten * present
        self.sums += torch.stack([count, total, squares]) * present

    def deviation(self) -> Tensor:
        """Standard deviation [P] of all numbers so far."""
        count, total, squares = self.sums
        count = count.clamp(min=1e-12)
        mean = total / count
        variance = squares / count - mean**2
        least = (LEAST_DEVIATION * mean).square().clamp(min=1e-12)
        return torch.maximum(variance, least).sqrt().float()
