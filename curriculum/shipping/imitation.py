"""Train one policy to act like another: what pruning and distillation share."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from curriculum.shipping.threads import one_thread

if TYPE_CHECKING:
    from torch import Tensor, nn

    # (student's outputs [n, A], indices [n] of their observations) -> loss
    Loss = Callable[[Tensor, Tensor], Tensor]


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
    is_relative: bool = True,
) -> None:
    """Train `student`, in place, until it acts on `obs` [n, *O] as `teacher` does.

    Box actions (both end in Tanh) are learnt by their mean squared error, without a
    temperature. Scores are learnt by minimising KL(softmax(q_T / tau) || softmax(q_S)),
    Rusu et al. 2015, arXiv 1511.06295. The paper's tau of 0.01 suits its Q-values; here
    tau is `temperature` times the spread of the teacher's scores over actions (root
    mean square deviation from their mean, over all of `obs`), so that Q-values 0.1
    apart and logits 20 apart are the same task; unless it `is_relative`, `temperature`
    itself (Hinton et al. 2015, arXiv 1503.02531). The student learns scores in units of
    tau and gets the teacher's unit back afterwards; with a small tau it learns the
    order of the scores, not their size."""
    import torch
    from torch import nn
    from torch.nn import functional

    if len(obs) == 0:
        raise ValueError("there are no observations to imitate the policy on")
    fit = partial(
        _fit, student, obs, rng, updates, batch=batch, learning_rate=learning_rate
    )
    with torch.no_grad():
        target = teacher(obs)  # [n, actions] scores, or [n, A]
    if isinstance(student[-1], nn.Tanh):
        fit(_squared_error(target))
        return
    advantage = target - target.mean(-1, keepdim=True)
    spread = float(advantage.square().mean().sqrt())
    tau = (temperature * spread or 1.0) if is_relative else temperature
    _scale(student[-1], 1 / tau)
    fit(_divergence(functional.softmax(advantage / tau, -1)))
    _scale(student[-1], tau)


def _squared_error(target: Tensor) -> Loss:
    from torch.nn import functional

    return lambda out, index: functional.mse_loss(out, target[index])


def _divergence(target: Tensor) -> Loss:
    """KL divergence of the student's softmax from the probabilities `target`."""
    from torch.nn import functional

    def loss(out: Tensor, index: Tensor) -> Tensor:
        log_probability = functional.log_softmax(out, -1)
        return functional.kl_div(log_probability, target[index], reduction="batchmean")

    return loss


def _scale(layer: nn.Module, factor: float) -> None:
    for weights in layer.parameters():
        weights.data *= factor


def _fit(
    student: nn.Sequential,
    obs: Tensor,
    rng: np.random.Generator,
    updates: int,
    loss: Loss,
    *,
    batch: int,
    learning_rate: float,
) -> None:
    """Minimise `loss` over batches of `obs`; each pass takes every observation once.

    The learning rate falls linearly to zero."""
    import torch

    adam = torch.optim.Adam(student.parameters(), learning_rate, fused=True)
    batches: list[np.ndarray] = []
    for update in range(updates):
        if not batches:
            order = rng.permutation(len(obs))
            batches = np.array_split(order, math.ceil(len(obs) / batch))
        index = torch.from_numpy(batches.pop())
        adam.param_groups[0]["lr"] = learning_rate * (1 - update / updates)
        value = loss(student(obs[index]), index)
        adam.zero_grad()
        value.backward()
        adam.step()
