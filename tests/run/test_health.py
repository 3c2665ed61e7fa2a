"""Seeds that were stopped: counted, explained, saved."""

import pytest

from curriculum.run.health import Health


def test_a_stopped_seed_leaves_the_others_healthy():
    health = Health((3, 5))
    health.stop(1, "reward nan")
    assert health.healthy.tolist() == [True, False]
    assert health.problems == {5: "reward nan"}
    health.require_any()


def test_the_first_problem_of_a_seed_counts():
    health = Health((3,))
    health.stop(0, "first")
    health.stop(0, "second")
    with pytest.raises(ValueError, match="every seed was stopped; seed 3: first"):
        health.require_any()


def test_a_saved_state_restores_what_was_stopped():
    health = Health((3, 5))
    health.stop(0, "reward nan")
    other = Health((3, 5))
    other.load(health.state())
    assert other.healthy.tolist() == [False, True]
    assert other.problems == {3: "reward nan"}
