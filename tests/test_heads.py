"""Heads: every question about values and policies answered on numbers set by hand."""

import math

import numpy as np
import pytest
import torch

from curriculum.heads import Categorical, Discrete, Values, head, huber
from curriculum.types import Spec, stream

torch.set_num_threads(1)

# [P=2, K=2, B=2, actions=3]
Q = torch.tensor(
    [
        [[[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]], [[5.0, 0.0, 3.0], [4.0, 0.0, -2.0]]],
        [[[0.0, 8.0, 0.0], [-1.0, -2.0, -3.0]], [[7.0, 0.0, 6.0], [-6.0, -2.0, -3.0]]],
    ]
)


def spec(shape: tuple[int, ...] = (4,), actions: int = 3) -> Spec:
    return Spec(shape, "float32", np.zeros(shape), np.ones(shape), actions)


def test_the_values_of_actions_are_picked_row_by_row():
    action = torch.tensor([[1, 2], [0, 1]])
    assert Values(Q).of(action).tolist() == [[[2, 3], [0, -2]], [[0, -2], [7, -2]]]


def test_the_best_action_is_that_of_the_members_mean():
    # means: (3, 1, 1.5) and (2, 0, 0.5); (3.5, 4, 3) and (-3.5, -2, -3): the members alone would say otherwise
    assert Values(Q).best().tolist() == [[0, 0], [1, 1]]
    assert Discrete(spec()).act(lambda obs: Q, torch.zeros(2, 2, 4)).tolist() == [[0, 0], [1, 1]]  # type: ignore[arg-type]


def test_the_expected_value_weighs_by_the_policy():
    share = torch.tensor([[[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]], [[0.0, 0.5, 0.5], [0.2, 0.3, 0.5]]])
    policy = Categorical((share + 1e-30).log())
    # seed 0, member 0: 0.5 + 0.5 + 0 and 0; member 1: 2.5 + 0 + 0.75 and 4
    # seed 1, member 0: 4 + 0 and -0.2 - 0.6 - 1.5; member 1: 0 + 3 and -1.2 - 0.6 - 1.5
    expected = torch.tensor([[[1.0, 0.0], [3.25, 4.0]], [[4.0, -2.3], [3.0, -3.3]]])
    torch.testing.assert_close(Values(Q).expected(policy), expected)


def test_logsumexp_is_the_soft_maximum_over_actions():
    # ln(1 + 2 + 3) = ln 6; ln(2 + 2 + 4) = ln 8; a value far above the others: itself
    q = torch.tensor([[[[1.0, 2.0, 3.0], [2.0, 2.0, 4.0]]], [[[6.0, 1.0, 1.0], [2.0, 1.0, 1.0]]]]).log()
    expected = torch.tensor([[[math.log(6), math.log(8)]], [[math.log(8), math.log(4)]]])
    torch.testing.assert_close(Values(q).logsumexp(), expected)
    assert Values(torch.tensor([[[[500.0, 1.0]]]])).logsumexp().item() == 500


def test_log_prob_is_that_of_the_softmax():
    logits = torch.tensor([[[0.0, math.log(3)], [5.0, 5.0]], [[math.log(9), 0.0], [1.0, 1.0 + math.log(4)]]])
    action = torch.tensor([[0, 1], [0, 1]])  # shares 1/4, 1/2; 9/10, 4/5
    expected = torch.tensor([[0.25, 0.5], [0.9, 0.8]]).log()
    torch.testing.assert_close(Categorical(logits).log_prob(action), expected)


def test_networks_have_the_sizes_of_the_world():
    discrete = Discrete(spec((2, 5), actions=3))
    assert discrete.critic((8,), members=2).sizes == (10, 8, 3)
    assert discrete.critic((8,), members=2).members == 2
    assert discrete.actor((8,)).sizes == (10, 8, 3)
    assert discrete.state_value((8,)).sizes == (10, 8, 1)


def test_a_world_of_box_actions_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="box actions"):
        head(spec(actions=0)._replace(action_size=2))


def test_huber_is_square_up_to_one_and_straight_beyond():
    error = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
    assert huber(error).tolist() == [2.5, 0.5, 0.125, 0.0, 0.125, 0.5, 1.5]


# --- exploration ---


def explored(share: float, seeds: tuple[int, ...], actions: int = 4, rows: int = 20_000) -> np.ndarray:
    greedy = np.ones((len(seeds), rows), np.int64)
    return Discrete(spec(actions=actions)).explore(greedy, share, [stream(seed, "test") for seed in seeds])


def test_exploring_replaces_its_share_by_every_action_alike():
    action = explored(0.2, seeds=(0, 1))
    assert action.dtype == np.int64
    for seed in action:
        share = np.bincount(seed, minlength=4) / seed.size  # 5 % each, and the 80 % that were kept; sd 0.2 %
        np.testing.assert_allclose(share, [0.05, 0.85, 0.05, 0.05], atol=0.01)
    changed = action != 1
    assert (changed[0] & changed[1]).mean() == pytest.approx(0.15**2, abs=0.005)  # independent of one another


def test_exploring_always_is_uniform_and_never_is_greedy():
    np.testing.assert_allclose(np.bincount(explored(1.0, seeds=(0,))[0]) / 20_000, 0.25, atol=0.015)
    assert (explored(0.0, seeds=(0, 1)) == 1).all()


def test_a_seed_explores_the_same_alone_and_among_others():
    np.testing.assert_array_equal(explored(0.5, seeds=(7,))[0], explored(0.5, seeds=(3, 7, 11))[1])


def test_exploring_leaves_the_given_actions_alone():
    greedy = np.ones((1, 100), np.int64)
    Discrete(spec()).explore(greedy, 1.0, [stream(0, "test")])
    assert (greedy == 1).all()
