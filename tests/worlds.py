"""Data of known quality from the native worlds, and learners trained on it: for the
tests that learn."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from curriculum.envs._base.native import NativeRows
from curriculum.learning.learner import Learner
from curriculum.planners.random import Random
from curriculum.run import evaluation
from curriculum.envs._base.spec import spec_of
from curriculum.types import Batch, stream

DISCOUNT = 0.99
EPISODES = range(20)  # that score a learner


class Data(NamedTuple):
    """Transitions [n, ...] of many rows, and the returns of the episodes they
    finished."""

    obs: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    next_obs: np.ndarray
    # discounted return of the episode from here on, -inf where it was not played to its
    # end
    to_go: np.ndarray
    returns: np.ndarray  # [episodes], undiscounted


def play(
    world: Any, planner: Any, noise: Sequence[float], steps: int, seed: int = 0
) -> Data:
    """What `planner` does in as many rows as there are shares in `noise`, that share of
    its actions being random ones.

    Whether an action is random is drawn anew in every step. A share below 0 stands for
    the opposite of what the planner would do, with so many random actions in
    between."""
    rows = NativeRows(world, [stream(seed, "world")], len(noise))
    rows.reset()
    spec, everyone = spec_of(world), np.arange(rows.count)
    planner.setup(rows, spec, (seed,))
    random, coins = Random().setup(rows, spec, (seed,)), stream(seed, "noise")
    share, steps_taken, over = np.array(noise), [], []
    for _ in range(steps):
        obs, action = rows.obs, planner.act(rows.obs, everyone)
        opposite = spec.actions - 1 - action if spec.actions else -action
        action[share < 0] = opposite[share < 0]
        noisy = coins.random(rows.count) < np.abs(share)
        action[noisy] = random.act(obs, everyone)[noisy]
        step = rows.step(action)
        steps_taken.append((obs, action, step.reward, step.terminated, step.next_obs))
        over.append(step.terminated | step.truncated)
    # [steps, rows, ...]
    columns = [np.stack(column) for column in zip(*steps_taken, strict=True)]
    to_go, returns = _returns(columns[2], np.stack(over))
    flat = [column.reshape(-1, *column.shape[2:]) for column in (*columns, to_go)]
    return Data._make([*flat, returns])


def _returns(reward: np.ndarray, over: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`to_go` and `returns` of rewards [steps, rows]."""
    to_go, rest = np.zeros(reward.shape, np.float32), np.full(reward.shape[1], -np.inf)
    for t in reversed(range(len(reward))):
        to_go[t] = rest = reward[t] + DISCOUNT * np.where(over[t], 0, rest)
    returns, total = [], np.zeros(reward.shape[1])
    for gained, ended in zip(reward, over, strict=True):
        total += gained
        returns += total[ended].tolist()
        total[ended] = 0
    return to_go, np.array(returns)


def train(
    learner: Learner, world: Any, data: Data, updates: int, seeds: tuple[int, ...]
) -> np.ndarray:
    """Returns [P] of a learner after `updates` on `data`, each seed drawing its own
    batches: means over `EPISODES`."""
    learner.setup(spec_of(world), seeds)
    assert learner.discount == DISCOUNT
    learner.normalizer.fit([data.obs] * len(seeds))
    obs, action, reward, next_obs, to_go = (
        torch.as_tensor(column)
        for column in (data.obs, data.action, data.reward, data.next_obs, data.to_go)
    )
    discount = torch.as_tensor(DISCOUNT * ~data.terminated, dtype=torch.float32)
    generators = [stream(seed, "batch") for seed in seeds]
    for _ in range(updates):
        at = torch.as_tensor(
            np.stack(
                [g.integers(len(reward), size=learner.batch_size) for g in generators]
            )
        )
        learner.update(
            Batch(
                obs[at], action[at], reward[at], discount[at], next_obs[at], to_go[at]
            )
        )
    return evaluation.play_learner(learner, world, EPISODES).reward.mean(-1)
