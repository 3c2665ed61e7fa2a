"""Actions of any space: every combination is reached, and counted back exactly."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from curriculum.envs._gym.actions import ActionConverter

FINITE = [  # space, first action, second action, last action, number of actions
    (spaces.Discrete(3, start=5), 5, 6, 7, 3),
    (spaces.MultiDiscrete([2, 3]), [0, 0], [0, 1], [1, 2], 6),
    (spaces.MultiDiscrete([2, 3], start=[1, -1]), [1, -1], [1, 0], [2, 1], 6),
    (spaces.MultiDiscrete(np.array([[2, 2], [1, 2]])), [[0, 0], [0, 0]], None, None, 8),
    (spaces.MultiBinary(3), [0, 0, 0], [0, 0, 1], [1, 1, 1], 8),
    (spaces.MultiBinary((2, 2)), [[0, 0], [0, 0]], [[0, 0], [0, 1]], None, 16),
    (spaces.Box(-1, 1, (2,), np.int32), [-1, -1], [-1, 0], [1, 1], 9),
    (spaces.Box(0, 255, (1,), np.uint8), [0], [1], [255], 256),
]


def plain(action: Any) -> Any:
    return np.asarray(action).tolist()


@pytest.mark.parametrize(("space", "first", "second", "last", "count"), FINITE)
def test_combinations_are_counted_the_last_part_fastest(
    space: gym.Space, first: Any, second: Any, last: Any, count: int
):
    convert = ActionConverter(space, "Toy-v0")
    assert convert.space == spaces.Discrete(count)
    given = convert(np.arange(count))
    assert plain(given[0]) == first
    assert second is None or plain(given[1]) == second
    assert last is None or plain(given[-1]) == last
    # each is a different action that the environment accepts
    assert len({str(plain(action)) for action in given}) == count
    for index, action in enumerate(given):
        assert space.contains(action)
        assert convert.index(action) == index


def test_parts_of_dictionaries_and_tuples_are_combined():
    space = spaces.Dict(
        pair=spaces.Tuple([spaces.Discrete(2), spaces.MultiBinary(2)]),
        move=spaces.Discrete(3, start=-1),
    )
    convert = ActionConverter(space, "Toy-v0")
    assert convert.space == spaces.Discrete(24)
    given = convert(np.arange(24))
    for index, action in enumerate(given):
        assert space.contains(action)
        assert convert.index(action) == index
    # Gymnasium keeps the order in which the parts of this dictionary were given
    assert (given[0]["move"], given[1]["move"], given[3]["move"]) == (-1, 0, -1)
    assert given[3]["pair"][1].tolist() == [0, 1]
    assert given[23]["pair"][0] == 1
    # the order of a dictionary's parts does not matter
    shuffled = {"move": 1, "pair": (1, np.array([1, 1], np.int8))}
    assert convert.index(shuffled) == 23


def test_boxes_in_a_dictionary_are_scaled_side_by_side():
    space = spaces.Dict(
        arm=spaces.Box(0, 10, (2, 1), np.float32),
        gripper=spaces.Box(-4, 0, (1,), np.float64),
    )
    convert = ActionConverter(space, "Toy-v0")
    assert convert.space == spaces.Box(
        np.array([0, 0, -4], np.float32), np.array([10, 10, 0], np.float32)
    )
    (action,) = convert(np.array([[-1, 0, 0.5]], np.float32))
    assert space.contains(action)
    assert action["arm"].tolist() == [[0], [5]]
    assert action["gripper"].tolist() == [-1]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            spaces.MultiDiscrete([10, 10, 11]),
            "which are 1,100 combinations, but at most 1,000 .* with a wrapper",
        ),
        (spaces.MultiBinary(64), "18,446,744,073,709,551,616 combinations"),
        (spaces.Box(0, 255, (8,), np.uint8), "combinations, but at most 1,000"),
        (spaces.Box(-np.inf, 1, (2,)), "numbers with finite bounds in all parts"),
        (
            spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 1, (1,))]),
            "must be discrete in all parts, or numbers",
        ),
        (spaces.Text(5), "must be discrete in all parts"),
        (spaces.Sequence(spaces.Discrete(2)), "must be discrete in all parts"),
    ],
)
def test_other_actions_are_refused_in_one_sentence(space: gym.Space, message: str):
    with pytest.raises(ValueError, match=f"^Toy-v0 takes actions in .*{message}") as e:
        ActionConverter(space, "Toy-v0")
    assert "\n" not in str(e.value)


def test_a_thousand_discrete_actions_need_no_combinations():
    convert = ActionConverter(spaces.Discrete(5_000), "Toy-v0")
    assert convert(np.array([4_999])) == [4_999]
