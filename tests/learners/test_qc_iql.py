"""A critic of action chunks in worlds small enough to know every value."""

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum.learners.iql import IQL
from curriculum.learners.qc_iql import QCIQL
from curriculum.learning.learner import Learner
from curriculum.replay.buffer import SOURCE, Buffer
from curriculum.replay.layout import Transition
from curriculum.types import Batch, Spec

torch.set_num_threads(1)

EDGE = np.full(1, np.inf, np.float32)
SPEC = Spec((1,), "float32", -EDGE, EDGE, actions=2)


def store(buffer: Buffer, steps: list[tuple], seeds: int = 1) -> None:
    """Store an episode of steps (state, action, reward, next state, end), the same for
    every seed."""

    def column(values: list, kind: type) -> np.ndarray:
        return np.broadcast_to(np.array([values], kind), (seeds, 1))

    for state, action, reward, next_state, end in steps:
        buffer.add(
            Transition(
                obs=column([state], np.float32)[..., None],
                action=column([action], np.int64),
                reward=column([reward], np.float32),
                terminated=column([end == "terminated"], np.bool_),
                truncated=column([end == "truncated"], np.bool_),
                next_obs=column([next_state], np.float32)[..., None],
                source=column([SOURCE["planner"]], np.int64),
                planning_rate=column([1.0], np.float32),
            )
        )


def buffer_for(learner: Learner, seeds: tuple[int, ...] = (0,)) -> Buffer:
    buffer = Buffer(capacity=4_000)
    return buffer.setup(SPEC, seeds, 1, needs=learner.columns)


def chunk_of(batch: Batch, n: int) -> tuple:
    """(state, actions of the chunk) of a transition."""
    assert batch.action_window is not None
    assert batch.window_taken is not None
    length = int(batch.window_taken[0, n].sum())
    actions = batch.action_window[0, n, :length].tolist()
    return int(batch.obs[0, n, 0]), *actions


# A line of states 0 to 3: action 1 goes right, 0 stays, and 3 ends it with a reward.
# V(s) = 8, 16, 32 at 0, 1 and 2; the discount is 1/2.
def test_targets_of_chunks_are_those_of_the_line_also_at_its_ends():
    learner = QCIQL(n_step=2, discount=0.5, normalize_obs=False).setup(SPEC, (0,))
    buffer = buffer_for(learner)
    store(
        buffer,
        [(0, 1, 0, 1, ""), (1, 1, 0, 2, ""), (2, 1, 1, 3, "terminated")],
    )
    store(
        buffer,
        [(0, 0, 0, 0, ""), (0, 1, 0, 1, ""), (1, 0, 0, 1, "truncated")],
    )
    store(buffer, [(2, 0, 0, 2, "")])  # still running

    def value(obs: Tensor) -> Tensor:
        return (8 * 2**obs).unsqueeze(1)  # [P, 1, B, 1]

    learner.net.value = value
    (batch,) = buffer.sample(300, learner.discount, learner.n_step)
    target = learner.td_target(learner.normalizer.prepare(batch))[0, 0]
    found = {chunk_of(batch, n): target[n].item() for n in range(300)}
    assert found == {
        (0, 1, 1): 32 / 4,
        (1, 1, 1): 1 / 2,  # and nothing after the end
        (2, 1): 1,
        (0, 0, 1): 16 / 4,
        (0, 1, 0): 16 / 4,
        (1, 0): 16 / 2,  # cut short: one step, then V of the last state
        (2, 0): 32 / 2,
    }


# Action 0 at state 0 leads to state 1, where half a point is sure. Action 1 leads to
# state 2, where action 1 earns a point, but the data take it once in five times.
def lock(buffer: Buffer, seeds: int) -> None:
    rng = np.random.default_rng(0)
    for n in range(500):
        first = n % 2
        second = int(n // 2 % 5 == 0)
        reward = 0.5 if first == 0 else float(second)
        if first == 0:
            second = int(rng.integers(2))
        store(
            buffer,
            [
                (0, first, 0, 1 + first, ""),
                (1 + first, second, reward, 3, "terminated"),
            ],
            seeds,
        )


def trained(learner: Learner) -> Learner:
    seeds = (0, 1, 2)
    learner.setup(SPEC, seeds)
    buffer = buffer_for(learner, seeds)
    lock(buffer, len(seeds))
    learner.normalizer.fit([np.arange(3, dtype=np.float32)[:, None]] * len(seeds))
    for _ in range(600):
        (batch,) = buffer.sample(learner.batch_size, learner.discount, learner.n_step)
        learner.update(batch)
    return learner


SETTINGS = {"n_step": 2, "expectile": 0.5, "temperature": 10.0, "hidden": (32, 32)}


def test_a_chunk_is_worth_what_it_earns_whatever_the_data_do_more_often():
    learner = trained(QCIQL(discount=1.0, learning_rate=0.003, **SETTINGS))  # type: ignore[arg-type]
    starts = torch.zeros(3, 4, 1)
    window = torch.tensor([[1, 1], [1, 0], [0, 0], [0, 1]]).expand(3, 4, 2)
    q = learner.head.window_values(
        learner.net.window_q,
        learner.normalizer.normalize(starts),
        window,
        torch.ones(3, 4, 2),
    )
    expected = torch.tensor([1.0, 0.0, 0.5, 0.5]).expand(3, 2, 4)
    torch.testing.assert_close(q, expected, atol=0.1, rtol=0)
    obs = np.tile(np.array([[0], [2]], np.float32), (3, 1, 1))
    assert learner.act(obs).tolist() == [[1, 1]] * 3


def test_n_step_rewards_alone_blame_the_first_action_for_the_second():
    learner = trained(IQL(discount=1.0, learning_rate=0.003, **SETTINGS))  # type: ignore[arg-type]
    starts = np.zeros((3, 2, 1), np.float32)
    q = learner.action_value(starts, np.tile(np.array([1, 0]), (3, 1)))
    np.testing.assert_allclose(q, np.tile([0.2, 0.5], (3, 1)), atol=0.1)
    assert learner.act(starts).tolist() == [[0, 0]] * 3


@pytest.mark.parametrize("n_step", [0, 101])
def test_chunks_have_a_sensible_length(n_step: int):
    with pytest.raises(ValueError, match=r"n_step must be at (least 1|most 100), got"):
        QCIQL(n_step=n_step)
