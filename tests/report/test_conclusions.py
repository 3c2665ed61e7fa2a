"""Conclusions say what the numbers show, and no more."""

from typing import Any

import numpy as np

from curriculum.report import conclusions

SETTINGS = {"seeds": [0, 1, 2], "planner": "expert", "steps": 100}


def values(last: list[float], **more: list[float]) -> dict[str, np.ndarray]:
    """Last values of a run between random play at 0 and a planner at 10."""
    reward = np.array(last)
    one = np.ones(len(last))
    found = {
        "final/last_mean_reward": reward,
        "final/last_success_rate": np.nan * one,
        "final/last_score": reward / 10,
        "final/episodes": 50 * one,
        "final/random_reward": 0 * one,
        "final/planner_reward": 10 * one,
        "final/planner_calls": 1000 * one,
        "planner/seconds_total": 2 * one,
    }
    return found | {tag: np.array(column) for tag, column in more.items()}


def said(last: list[float], **more: Any) -> str:
    settings = SETTINGS | {"seeds": list(range(len(last)))}
    lines = more.pop("lines", [])
    return "\n".join(conclusions.of_run(settings, lines, values(last, **more)))


def test_the_end_is_told_with_its_spread() -> None:
    text = said([8, 9, 10], **{"final/last_success_rate": [0.5, 1, 1]})
    assert "returns 9.00 (mean of 3 seeds, 8.00 to 10.00) on 50 episodes" in text
    assert "success in 83%" in text
    assert "random play returns 0.00 and the planner expert 10.00." in text
    assert "1,000 planner calls a seed, 2.00 ms each" in text


def test_a_difference_within_chance_is_not_claimed() -> None:
    # the 95 % interval of 8, 9, 10 is 9 +- 4.303 / sqrt(3)
    assert "a difference to the planner is not shown (95 % interval over seeds " in (
        said([8, 9, 10])
    )
    assert "a difference to the planner is not shown" in said([9, 12, 11])
    assert "0.65 to 1.15" in said([8, 9, 10])


def test_clear_differences_are_claimed_in_their_direction() -> None:
    assert "below the planner (95 % interval" in said([4, 4.1, 4.2])
    assert "above the planner (95 % interval" in said([14, 14.1, 14.2])
    assert "as good as the planner in every seed" in said([10, 10, 10])


def test_few_seeds_claim_nothing() -> None:
    for last in ([14.0], [14.0, 14.0]):
        text = said(last)
        assert "about other seeds." in text
        assert "above" not in text


def test_without_a_scale_there_is_no_score() -> None:
    text = said([1, 2, 3], **{"final/last_score": [np.nan] * 3})
    assert "the planner is not clearly better than random play" in text


def test_the_data_are_no_planner_to_be_beaten() -> None:
    found = values([14, 14, 14], **{"final/data_reward": [10.0] * 3})
    del found["final/planner_reward"]
    text = "\n".join(conclusions.of_run(SETTINGS, [], found))
    assert "the mean of the data is 10.00" in text
    assert "Its score is 1.40 (0 is random play, 1 the data's mean)." in text
    assert "planner" not in text


def test_the_lowest_score_is_placed() -> None:
    lines = [
        {"step": step, "values": {"eval/score": score}}
        for step, score in (
            (0, [0.1, 0.0, 0.0]),  # of a learner that was not updated
            (50, [0.9, 0.8, 1.0]),
            (100, [0.9, 0.7, 0.2]),
        )
    ]
    assert "was 0.20, at step 100 in seed 2" in said([8, 9, 10], lines=lines)


def test_stopped_seeds_and_runs_without_a_world_are_named() -> None:
    text = said([8, 9, 10], **{"final/stopped": [0, 1, 0]})
    assert "no longer finite: seed 1;" in text
    assert conclusions.of_run(SETTINGS, [], {}) == [
        "The run trained from data alone and was not evaluated in its world."
    ]
