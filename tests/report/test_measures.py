"""In which quantities arms are compared, by numbers worked out by hand."""

import re

import numpy as np
import pytest

from curriculum.report.curves import Curve, Series
from curriculum.report.measures import (
    FIRST_SUCCESS,
    RETURN,
    Terms,
    calls_to_reach,
    common_limit,
    measures,
    require_tag,
    tags,
)

STEPS = np.array([0, 10, 20, 40])
FIRST = "first success at step"


def curve(
    rewards: list[float], calls: list[float], seconds: list[float] | None = None
) -> Curve:
    """A run of one seed, evaluated four times; random play returns -5."""
    column = np.array(rewards, float)[:, None]
    return Curve(
        seeds=[0],
        steps=STEPS,
        reward=column,
        final={
            "final/last_mean_reward": column[-1] + 1,
            "final/last_success_rate": np.array([0.75]),
            "final/random_reward": np.array([-4.0]),
            "final/planner_reward": np.array([6.0]),
        },
        episodes=50,
        first_success=np.array([12.0]),
        seconds=9.0,
        baselines={"random": -5.0, "planner": 6.0, "data": np.nan},
        planner_ms=1.0,
        calls=np.array(calls, float)[:, None],
        planner_seconds=np.array(calls, float)[:, None] / 1000,
        wall_seconds=np.array(seconds or [1.0, 2, 3, 4]),
        series={
            "eval/mean_reward": Series(STEPS, column),
            "eval/score": Series(STEPS, column / 10),
            "eval/success_rate": Series(STEPS, column / 20),
            "eval/captures": Series(STEPS, 10 - column),
            "train/loss": Series(np.array([10, 30]), np.array([[4.0], [2.0]])),
        },
    )


SPENDS = curve([0, 2, 4, 8], [100, 200, 400, 1000])
THRIFTY = curve([1, 5, 6, 7], [0, 150, 300, 300])


def test_by_steps_the_final_evaluation_counts_and_the_whole_curve():
    found = measures({"a": SPENDS}, Terms())["a"]
    assert list(found) == ["final return", "return over training", FIRST]
    assert found["final return"].values == [9]  # of the record "final"
    # (10 * 1 + 10 * 3 + 20 * 6) / 40
    assert found["return over training"].values == [4]
    assert found["final return"].unit == 10  # from random play to the planner
    assert (found[FIRST].values, found[FIRST].last) == ([12], 40)
    assert found[FIRST].better == -1


def test_at_equal_calls_the_last_evaluation_within_them_counts():
    arms = {"spends": SPENDS, "thrifty": THRIFTY}
    assert common_limit(arms, "calls") == 300
    found = measures(arms, Terms(equal="calls", tags=(RETURN,)))
    final, over = found["spends"].values()
    assert list(found["spends"]) == [
        "return after 300 planner calls",
        "return over 300 planner calls",
    ]
    assert final.values == [2]  # of 200 calls; the next needed 400
    # -5 of random play up to 100 calls, 0 up to 200, 2 up to 300
    assert over.values == pytest.approx([(-500 + 0 + 200) / 300])
    final, over = found["thrifty"].values()
    # calls that are not made any more cost nothing: the last evaluation counts
    assert final.values == [7]
    assert over.values == pytest.approx([(150 * 1 + 150 * 5) / 300])


def test_an_arm_without_a_planner_has_no_value_at_equal_calls():
    alone = curve([0, 1, 2, 3], [0, 0, 0, 0])
    found = measures(
        {"a": SPENDS, "alone": alone}, Terms(equal="calls", tags=(RETURN,))
    )
    assert "return after 1,000 planner calls" in found["a"]
    assert all(np.isnan(measure.values) for measure in found["alone"].values())
    with pytest.raises(ValueError, match="no arm has spent any; compare with --equal"):
        measures({"alone": alone}, Terms(equal="calls"))


def test_at_equal_seconds_the_slow_arm_is_cut_to_nothing_more():
    slow = curve([0, 2, 4, 8], [1, 2, 3, 4], seconds=[2, 4, 6, 8])
    fast = curve([0, 2, 4, 8], [1, 2, 3, 4], seconds=[1, 2, 3, 5])
    found = measures(
        {"slow": slow, "fast": fast}, Terms(equal="seconds", tags=(RETURN,))
    )
    assert found["slow"]["return after 5.0 s"].values == [2]
    assert found["fast"]["return after 5.0 s"].values == [8]
    # random play for 1 s, then 0, 2 for 1 s, 4 for 2 s
    assert found["fast"]["return over 5.0 s"].values == pytest.approx(
        [(-5 + 0 + 2 + 8) / 5]
    )


def test_a_measure_has_the_final_evaluation_of_its_tag_if_there_is_one():
    wanted = ("eval/success_rate", "eval/captures", "train/loss")
    found = measures({"a": SPENDS}, Terms(tags=wanted))["a"]
    assert found["final success rate"].values == [0.75]
    assert found["final captures"].values == [2]
    # from step 10 to 30
    assert found["train/loss over training"].values == [3]
    directions = {name: measure.better for name, measure in found.items()}
    assert directions["final success rate"] == 1
    assert directions["final captures"] == directions["final train/loss"] == -1
    assert found["final success rate"].unit == 1
    assert np.isnan(found["final captures"].unit)


def test_a_tag_nobody_recorded_is_answered_by_those_that_exist():
    answer = (
        "--measure eval/sucess_rate: the arm slow has recorded no such tag; did you "
        "mean eval/success_rate; there are: eval/captures, eval/mean_reward, "
        "eval/score, eval/success_rate"
    )
    with pytest.raises(ValueError, match=re.escape(answer)):
        require_tag("slow", SPENDS, "eval/sucess_rate")
    require_tag("slow", SPENDS, FIRST_SUCCESS)


def test_an_offline_run_is_measured_by_the_same_tags():
    offline = SPENDS._replace(
        is_offline=True,
        series={"offline/mean_reward": SPENDS.series["eval/mean_reward"]},
    )
    assert tags(offline) == ["eval/mean_reward", FIRST_SUCCESS]
    found = measures({"a": offline}, Terms(tags=(RETURN,)))["a"]
    assert found["return over training"].values == [4]


def test_calls_to_reach_a_score_are_those_of_the_first_evaluation_with_it():
    assert calls_to_reach(SPENDS, 0.2) == [200]  # scores 0, .2, .4, .8
    assert calls_to_reach(SPENDS, 0.3) == [400]
    assert np.isnan(calls_to_reach(SPENDS, 0.9))
