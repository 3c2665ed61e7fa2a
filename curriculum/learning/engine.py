"""How updates run: as they are written, compiled, or on a GPU as one captured graph."""

import os
import shutil
from collections.abc import Callable
from types import FunctionType
from typing import Any, Literal

import numpy as np
import torch

from curriculum.learning.learner import Learner
from curriculum.types import Batch

Mode = Literal["eager", "compiled", "captured"]
Update = Callable[[Batch, np.ndarray | None], None]
# updates before a graph is captured, so that libraries have chosen their kernels
WARM_UP = 3
WORTH = (
    # updates of a run from which on compiling earns its time: it saves 0.2 ms of one
    # and more (benchmarks/)
    100_000
)


def choose(
    compile: str, device: str, precision: str, updates: float
) -> tuple[Mode, str]:
    """How a run of so many updates will make them under `--compile`, and why, in one
    clause."""
    if compile == "off":
        return "eager", "as written (--compile off)"
    if device == "cuda" and compile == "auto":
        return "captured", "captured once as a CUDA graph, then replayed"
    if precision == "bf32":
        obstacle = (
            "precision bf32 is set product by product, which compiled code cannot do"
        )
    elif not (os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")):
        obstacle = "compiling needs g++ or clang++, and there is none"
    else:
        obstacle = ""
    if compile == "on":
        if obstacle:
            raise ValueError(f"{obstacle}; choose --compile off")
        return "compiled", "compiled (--compile on); the first one takes 5 to 30 s"
    if updates < WORTH:
        return (
            "eager",
            f"as written: {updates:,.0f} of them are too few to win back the time of compiling",
        )
    return (
        ("eager", f"as written: {obstacle}")
        if obstacle
        else ("compiled", "compiled; the first one takes 5 to 30 s")
    )


def updater(learner: Learner, mode: Mode) -> Update:
    """The function that takes the place of `learner.update`."""
    if mode == "compiled":
        return Compiled(learner)
    return Captured(learner) if mode == "captured" else learner.update


class Compiled:
    """Updates as one call of compiled code: losses, gradients, Adam and targets
    together.

    Compiled code cannot draw from the seeds' generators, so noise is drawn ahead, as
    much as the losses ask for."""

    def __init__(self, learner: Learner):
        import torch._dynamo.config

        # lets a compiled function ask for gradients
        torch._dynamo.config.trace_autograd_ops = True
        self.learner, self.rate = learner, torch.zeros((), device=learner.device)
        self.asked: dict[tuple, list[tuple[str, tuple[int, ...]]]] = {}
        self.steps: dict[tuple, Callable] = {}

    def __call__(self, batch: Batch, has_data: np.ndarray | None = None) -> None:
        learner = self.learner
        if has_data is not None and not has_data.all():
            learner.update(batch, has_data)
            return
        learner.phase = learner.updates % learner.cycle
        key = (
            learner.phase,
            *(None if x is None else (x.shape, x.stride()) for x in batch),
        )
        if key not in self.steps:
            self.asked[key], self.steps[key] = self._asked(batch), _compiled()
        noise = [learner.head.draw(kind, shape) for kind, shape in self.asked[key]]
        self.rate.fill_(learner.rate())
        learner.count_update(self.steps[key](learner, batch, self.rate, noise))

    @torch.no_grad()
    def _asked(self, batch: Batch) -> list[tuple[str, tuple[int, ...]]]:
        """The noise that losses ask for in this phase; none of it is used up."""
        head = self.learner.head
        before, head.asked = head.state(), []
        self.learner.losses(self.learner.prepare(batch))
        asked, head.asked = head.asked, None
        head.load(before)
        return asked


def _compiled() -> Callable:
    """A compiled `_step` of its own for every learner, phase and shape, so that a call
    needs to check nothing.

    What was compiled is kept with a function's code, hence the copy."""
    own = FunctionType(_step.__code__.replace(), _step.__globals__)
    options: Any = {
        "guard_filter_fn": torch.compiler.skip_all_guards_unsafe,
        "cpp_wrapper": True,
    }
    return torch.compile(own, dynamic=False, fullgraph=True, options=options)


def _step(
    learner: Learner, batch: Batch, rate: torch.Tensor, noise: list[torch.Tensor]
) -> dict[str, torch.Tensor]:
    learner.head.drawn = list(noise)
    losses = learner.step(batch, rate)
    assert not learner.head.drawn, (
        "losses asked for less noise than was drawn, the rest would go to a later update"
    )
    return losses


class Captured:
    """Updates as CUDA graphs: everything between a batch and the moved weights in one
    launch.

    Learners whose networks rest in some updates have a graph for each update of their
    `cycle`, and so have updates in which some seeds have no data yet."""

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
            self.batch = Batch(*(x if x is None else x.clone() for x in batch))  # type: ignore[arg-type]
        for own, given in zip(self.batch, batch, strict=True):
            if own is not None and given is not None:
                own.copy_(given)
        learner.phase = learner.updates % learner.cycle
        self.rate.fill_(learner.rate())
        if masked:
            self.share.copy_(torch.as_tensor(has_data, dtype=torch.float32))
        key = (learner.phase, masked)
        if key not in self.graphs:
            self._capture(key)
        self.graphs[key].replay()
        learner.count_update(self.losses[key])

    def _capture(self, key: tuple[int, bool]) -> None:
        graph = torch.cuda.CUDAGraph()
        for generator in self.learner.head.generators:
            graph.register_generator_state(generator)
        assert self.batch is not None
        with torch.cuda.graph(graph):
            self.losses[key] = self.learner.step(
                self.batch, self.rate, self.share if key[1] else None
            )
        self.graphs[key] = graph
