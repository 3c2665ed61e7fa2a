"""Train one policy to act like another: what pruning and distillation share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: as fast for small networks, far faster on a busy
    machine, and always the same sums."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def imitate(
    student: nn.Sequential,
    teacher: nn.Module,
    obs: Tensor,
    rng: np.random.Generator,
    *,
    updates: int,
    batch: int,
    learning_rate: float,
    temperature: float,
) -> None:
    """Train `student`, in place, until it acts on `obs` [n, *O] as `teacher` does.

    A box action (both end in Tanh) is learnt by its mean squared error; `temperature`
    then means nothing. Scores: minimises KL(softmax(q_T / tau) || softmax(q_S)), Rusu
    et al. 2015, arXiv 1511.06295. Their tau of 0.01 suits their Q-values; here tau is
    `temperature` times the teacher's spread over actions (root mean square about their
    mean, over all of `obs`), so that Q-values 0.1 apart and logits 20 apart pose the
    same task. The student's scores keep the teacher's unit, only while it learns tau is
    their unit; but a small tau teaches their order, not their size."""
    import torch
    from torch import nn
    from torch.nn import functional

    if not len(obs):
        raise ValueError("there are no observations to imitate the policy on")
    with torch.no_grad():
        given = teacher(obs)  # [n, actions] scores, or [n, A]
    pace = {"updates": updates, "batch": batch}
    if isinstance(student[-1], nn.Tanh):
        _fit(
            student,
            obs,
            lambda out, at: functional.mse_loss(out, given[at]),
            rng,
            learning_rate,
            **pace,
        )
        return
    advantage = given - given.mean(-1, keepdim=True)
    tau = temperature * float(advantage.square().mean().sqrt()) or 1.0
    target = functional.softmax(advantage / tau, -1)

    def divergence(out: Tensor, at: Tensor) -> Tensor:
        return functional.kl_div(
            functional.log_softmax(out, -1), target[at], reduction="batchmean"
        )

    _scale(student[-1], 1 / tau)
    _fit(student, obs, divergence, rng, learning_rate, **pace)
    _scale(student[-1], tau)


def _scale(layer: nn.Module, factor: float) -> None:
    for weights in layer.parameters():
        weights.data *= factor


def _fit(
    student: nn.Sequential,
    obs: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    rng: np.random.Generator,
    learning_rate: float,
    *,
    updates: int,
    batch: int,
) -> None:
    """Minimise `loss(outputs, index)` over batches of `obs`, every observation once
    before any is seen again."""
    import torch

    adam = torch.optim.Adam(student.parameters(), learning_rate, fused=True)
    pieces: list[np.ndarray] = []
    for update in range(updates):
        pieces = pieces or np.array_split(
            rng.permutation(len(obs)), math.ceil(len(obs) / batch)
        )
        index = torch.from_numpy(pieces.pop())
        adam.param_groups[0]["lr"] = learning_rate * (1 - update / updates)
        wrong = loss(student(obs[index]), index)
        adam.zero_grad()
        wrong.backward()
        adam.step()
