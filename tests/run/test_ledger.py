"""The ledger of collection against episodes added up by hand."""

import numpy as np
import pytest

from curriculum.replay.buffer import SOURCE
from curriculum.replay.layout import Transition
from curriculum.run import checkpoint
from curriculum.run.ledger import WINDOW, Ledger

NAN = float("nan")


def tell(
    ledger: Ledger, step: int, reward, over="", success=False, source="learner"
) -> None:
    """One step of all rows: `over` holds "t" where it terminated, "c" where it was cut
    short."""
    shape = ledger.returns.shape
    reward, over, success, source = (
        np.broadcast_to(np.asarray(x), shape) for x in (reward, over, success, source)
    )
    number, obs = np.vectorize(SOURCE.get)(source), np.zeros((*shape, 1))
    transition = Transition(
        obs,
        np.zeros(shape),
        reward,
        over == "t",
        over == "c",
        obs,
        number,
        np.zeros(shape),
    )
    ledger.add(step, transition, success)


def values(ledger: Ledger, *tags: str) -> list:
    everything = ledger.values()
    return [everything[tag].tolist() for tag in tags]


RETURNS = (
    "rollout/ep_rew_mean",
    "rollout/ep_len_mean",
    "rollout/success_rate",
    "rollout/episodes",
)


def test_nothing_is_known_before_an_episode_has_ended():
    ledger = Ledger(2, 1, (0,))
    tell(ledger, 1, 5)
    found = ledger.values()
    for tag in (*RETURNS[:3], "rollout/first_success_step"):
        assert np.isnan(found[tag]).tolist() == [True, True]
    assert found["rollout/episodes"].tolist() == [0, 0]
    assert {tag: value.shape for tag, value in found.items()} == dict.fromkeys(
        found, (2,)
    )


def test_an_episodes_return_length_and_success_are_those_of_its_own_steps():
    ledger = Ledger(2, 2, (0,))
    tell(ledger, 2, [[1, 10], [100, -1]])
    tell(
        ledger,
        4,
        [[2, 20], [200, -1]],
        [["t", ""], ["", "c"]],
        [[True, False], [False, False]],
    )
    assert values(ledger, *RETURNS) == [[3, -2], [2, 2], [1, 0], [1, 1]]
    tell(
        ledger,
        6,
        [[4, 30], [300, -1]],
        [["", "c"], ["", "t"]],
        [[False, False], [False, True]],
    )
    # seed 0: 3 in 2 steps with success, 60 in 3 without; seed 1: -2 in 2 without, -1 in
    # 1 with
    assert values(ledger, *RETURNS) == [[31.5, -1.5], [2.5, 1.5], [0.5, 0.5], [2, 2]]
    tell(ledger, 8, [[5, 0], [400, 0]], [["t", ""], ["t", ""]])
    # seed 0: 4 + 5 in 2 steps; seed 1: 100 + 200 + 300 + 400 in 4
    assert values(ledger, *RETURNS) == [
        [24, 997 / 3],
        [7 / 3, 7 / 3],
        [1 / 3, 1 / 3],
        [3, 3],
    ]


def test_an_end_that_is_both_true_and_cut_short_is_one_episode():
    ledger = Ledger(1, 1, (0,))
    ends = np.ones((1, 1), bool)
    zero = np.zeros((1, 1))
    ledger.add(1, Transition(zero, zero, zero + 7, ends, ends, zero, zero, zero), ends)
    assert values(ledger, *RETURNS) == [[7], [1], [1], [1]]


def test_averages_span_the_newest_hundred_episodes():
    ledger = Ledger(1, 1, (0,))
    assert WINDOW == 100
    for episode in range(103):
        tell(ledger, episode, episode, "t", episode < 13)
    # the returns 3 to 102, of which 3 to 12 were successes
    assert values(ledger, *RETURNS) == [[52.5], [1], [0.1], [103]]


def test_the_first_success_is_the_step_at_which_the_first_episode_succeeded():
    ledger = Ledger(3, 2, (0,))
    tell(
        ledger,
        8,
        0,
        [["t", "t"], ["", ""], ["", ""]],
        [[False, False], [True, False], [False, False]],
    )
    # the episode of seed 1 goes on
    assert np.isnan(ledger.values()["rollout/first_success_step"]).all()
    tell(
        ledger,
        16,
        0,
        [["", "c"], ["", ""], ["", ""]],
        [[False, True], [False, False], [False, False]],
    )
    tell(ledger, 24, 0, [["t", ""], ["t", "t"], ["", ""]], True)
    np.testing.assert_array_equal(
        ledger.values()["rollout/first_success_step"], [16, 24, NAN]
    )


def test_the_planners_share_of_actions_is_counted_anew_for_every_report():
    ledger = Ledger(2, 4, (0,))
    tag = "curriculum/expert_action_share"
    assert values(ledger, tag) == [[0, 0]]
    tell(
        ledger,
        4,
        0,
        source=[["planner", "learner", "learner", "random"], ["planner"] * 4],
    )
    tell(
        ledger,
        8,
        0,
        source=[["planner", "planner", "expert", "learner"], ["learner"] * 4],
    )
    assert values(ledger, tag) == [[3 / 8, 0.5]]
    tell(
        ledger,
        12,
        0,
        source=[["learner"] * 4, ["planner", "learner", "learner", "learner"]],
    )
    assert values(ledger, tag) == [[0, 0.25]]


def test_visits_count_every_row_in_its_own_seeds_map():
    ledger = Ledger(2, 3, (2, 3))
    ledger.visit(np.array([[0, 0, 5], [4, 1, 4]]))
    ledger.visit(np.array([[0, 2, 3], [4, 1, 0]]))
    assert ledger.visits.tolist() == [[[3, 0, 1], [1, 0, 1]], [[1, 2, 0], [0, 3, 0]]]


def test_reported_values_stay_as_they_were():
    ledger = Ledger(1, 1, (0,))
    tell(ledger, 1, 3, "t", True)
    reported = ledger.values()
    before = {tag: value.copy() for tag, value in reported.items()}
    for step in range(2, 5):
        tell(ledger, step, 9, "t", False, "planner")
    for tag, value in before.items():
        np.testing.assert_array_equal(reported[tag], value)


# nothing yet, windows that fill, windows that are full
@pytest.mark.parametrize("steps", [0, 3, 301])
def test_a_rollout_resumes_exactly(steps, tmp_path):
    def play(ledger: Ledger, numbers: range) -> None:
        for step in numbers:
            rng = np.random.default_rng(step)
            ends = rng.choice(["", "t", "c"], (2, 2), p=[0.4, 0.3, 0.3])
            source = rng.choice(["planner", "learner"], (2, 2))
            tell(
                ledger,
                step,
                rng.normal(size=(2, 2)),
                ends,
                rng.random((2, 2)) < 0.01,
                source,
            )
            ledger.visit(rng.integers(6, size=(2, 2)))

    ledger, resumed = Ledger(2, 2, (2, 3)), Ledger(2, 2, (2, 3))
    play(ledger, range(steps))
    resumed.load(
        checkpoint.read(
            checkpoint.write(tmp_path / "step", {"ledger": ledger.state()})
        )["ledger"]
    )
    for more in (range(steps, steps), range(steps, steps + 150)):
        for one in (ledger, resumed):
            play(one, more)
        found = resumed.values()
        for tag, value in ledger.values().items():
            np.testing.assert_array_equal(found[tag], value, err_msg=tag)
        np.testing.assert_array_equal(resumed.visits, ledger.visits)
        assert resumed.windows == ledger.windows
