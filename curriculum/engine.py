"""How updates run: as they are written, compiled, or on a GPU as one captured graph."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from curriculum.learner import Learner
from curriculum.types import Batch

Mode = Literal["eager", "compiled", "captured"]
Update = Callable[[Batch, np.ndarray | None], None]
WARM_UP = 3  # updates before a graph is captured, so that libraries have chosen their kernels


def choose(compile: str, device: str) -> tuple[Mode, str]:
    """How updates will run under `--compile`, and why, in one clause."""
    if compile == "on":
        return "compiled", "compiled by torch.compile; the first ones take long"
    if compile == "off":
        return "eager", "as written (--compile off)"
    if device == "cuda":
        return "captured", "captured once as a CUDA graph, then replayed"
    return "eager", "as written: on a processor no run is long enough to earn the time of compiling (benchmarks/README.md)"


def updater(learner: Learner, mode: Mode) -> Update:
    """The function that takes the place of `learner.update`."""
    if mode == "captured":
        return Captured(learner)
    if mode == "compiled":
        import torch._functorch.config

        torch._functorch.config.donated_buffer = False  # several networks' gradients share a forward pass
        learner.losses = torch.compile(learner.losses, dynamic=False)  # type: ignore[method-assign]
    return learner.update


class Captured:
    """Updates as CUDA graphs: everything between a batch and the moved weights in one launch.

    Learners whose networks rest in some updates have a graph for each update of their `cycle`, and so have updates in
    which some seeds have no data yet."""

    def __init__(self, learner: Learner):
        self.learner, self.seen = learner, 0
        self.graphs: dict[tuple[int, bool], torch.cuda.CUDAGraph] = {}
        self.losses: dict[tuple[int, bool], dict[str, torch.Tensor]] = {}
        self.rate = torch.zeros((), device=learner.device)
        self.share = torch.ones(len(learner.seeds), device=learner.device)
        self.batch: Batch | None = None

    def __call__(self, batch: Batch, has_data: np.ndarray | None = None) -> None:
        learner, masked = self.learner, has_data is not None and not has_data.all()
        if self.seen < WARM_UP * learner.cycle:
            self.seen += 1
            learner.update(batch, has_data)
            return
        if self.batch is None:
            self.batch = Batch(*(None if x is None else x.clone() for x in batch))
        for own, given in zip(self.batch, batch, strict=True):
            if own is not None:
                own.copy_(given)
        self.rate.fill_(learner.rate())
        if masked:
            self.share.copy_(torch.as_tensor(has_data, dtype=torch.float32))
        key = (learner.updates % learner.cycle, masked)
        if key not in self.graphs:
            self._capture(key)
        self.graphs[key].replay()
        learner.last_losses |= self.losses[key]
        learner.count_update()

    def _capture(self, key: tuple[int, bool]) -> None:
        graph, before = torch.cuda.CUDAGraph(), dict(self.learner.last_losses)
        for generator in self.learner.head.generators:
            graph.register_generator_state(generator)
        assert self.batch is not None
        with torch.cuda.graph(graph):
            self.learner.step(self.batch, self.rate, self.share if key[1] else None)
        after = self.learner.last_losses
        self.losses[key] = {name: loss for name, loss in after.items() if loss is not before[name]}
        self.graphs[key] = graph
