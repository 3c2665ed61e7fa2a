"""Data of known quality from the native worlds, and learners trained on it: for the
tests that learn."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from planning import act

from curriculum.envs._base.native import NativeRows
from curriculum.envs._base.spec import spec_of
from curriculum.learning.learner import Learner
from curriculum.planners.random import Random
from curriculum.run import evaluation
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
    # discounted return from here to the end of the episode, -inf if it did not end
    to_go: np.ndarray
    returns: np.ndarray  # [episodes], undiscounted


def play(
    world: Any, planner: Any, noise: Sequence[float], steps: int, seed: int = 0
) -> Data:
    """Play `planner` in one row for each number in `noise`, its share of random
    actions.

    Every step decides anew whether its action is random. A negative share takes the
    opposite of the planner's actions, and its absolute value of random ones."""
    rows = NativeRows(world, [stream(seed, "world")], len(noise))
    rows.reset()
    spec = spec_of(world)
    everyone = np.arange(rows.count)
    planner.setup(rows, spec, (seed,))
    random = Random().setup(rows, spec, (seed,))
    coins = stream(seed, "noise")
    share = np.array(noise)
    steps_taken = []
    over = []
    for _ in range(steps):
        obs = rows.obs
        action = act(planner, obs, everyone)
        opposite = spec.actions - 1 - action if spec.actions else -action
        action[share < 0] = opposite[share < 0]
        noisy = coins.random(rows.count) < np.abs(share)
        action[noisy] = act(random, obs, everyone)[noisy]
        step = rows.step(action)
        steps_taken.append((obs, action, step.reward, step.terminated, step.next_obs))
        over.append(step.terminated | step.truncated)
    # [steps, rows, ...] each
    obs, action, reward, terminated, next_obs = (
        np.stack(column) for column in zip(*steps_taken, strict=True)
    )
    to_go, returns = _returns(reward, np.stack(over))
    columns = (obs, action, reward, terminated, next_obs, to_go)
    flat = [column.reshape(-1, *column.shape[2:]) for column in columns]
    return Data._make([*flat, returns])


def _returns(reward: np.ndarray, over: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`to_go` and `returns` of rewards [steps, rows]."""
    to_go = np.zeros(reward.shape, np.float32)
    rest = np.full(reward.shape[1], -np.inf)
    for t in reversed(range(len(reward))):
        rest = reward[t] + DISCOUNT * np.where(over[t], 0, rest)
        to_go[t] = rest
    returns = []
    total = np.zeros(reward.shape[1])
    for step_reward, ended in zip(reward, over, strict=True):
        total += step_reward
        returns += total[ended].tolist()
        total[ended] = 0
    return to_go, np.array(returns)


def train(
    learner: Learner, world: Any, data: Data, updates: int, seeds: tuple[int, ...]
) -> np.ndarray:
    """Train a learner on `data` and return its mean returns [P] over `EPISODES`; each
    seed draws its own batches."""
    learner.setup(spec_of(world), seeds)
    assert learner.discount == DISCOUNT
    learner.normalizer.fit([data.obs] * len(seeds))
    discount = DISCOUNT * ~data.terminated
    block = Batch(
        obs=torch.as_tensor(data.obs),
        action=torch.as_tensor(data.action),
        reward=torch.as_tensor(data.reward),
        discount=torch.as_tensor(discount, dtype=torch.float32),
        next_obs=torch.as_tensor(data.next_obs),
        mc_return=torch.as_tensor(data.to_go),
    )
    generators = [stream(seed, "batch") for seed in seeds]
    transitions = len(data.reward)
    for _ in range(updates):
        drawn = [g.integers(transitions, size=learner.batch_size) for g in generators]
        index = torch.as_tensor(np.stack(drawn))  # [P, B]
        learner.update(Batch(*(None if c is None else c[index] for c in block)))  # type: ignore[arg-type]
    return evaluation.play_learner(learner, world, EPISODES).reward.mean(-1)
