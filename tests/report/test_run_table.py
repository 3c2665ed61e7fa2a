"""The text at the end of a run says what happened, also where things went badly."""

from typing import Any

import numpy as np
import pytest

from curriculum.report.run_table import run_table


def text(seeds: int = 1, without: str = "none", **changes: Any) -> str:
    """The table of a run; changes replace values, with "__" for "/", tags that begin
    with `without` are missing."""
    values = {
        "final/random_reward": -4.0,
        "final/planner_reward": 6.0,
        "final/planner_success_rate": 1.0,
        "final/planner_episodes": 50,
        "final/episodes": 50,
        "final/planner_calls": 100,
        "planner/seconds_total": 0.5,
        "planner/faults_total": 0,
        "planner/late_total": 0,
        "train/n_updates": 2_000,
        "time/time_elapsed": 60.0,
    }
    for name in ("last", "best"):
        values[f"final/{name}_mean_reward"] = 5.0
        values[f"final/{name}_success_rate"] = 0.75
        values[f"final/{name}_score"] = 0.9
    values |= {tag.replace("__", "/"): value for tag, value in changes.items()}
    columns = {
        tag: np.full(seeds, value)
        for tag, value in values.items()
        if not tag.startswith(without)
    }
    settings = {
        "seeds": list(range(seeds)),
        "planner": "mcts",
        "steps": 8_000,
    }
    return run_table("runs/x", settings, columns, "state")


def line(table: str, label: str) -> list[str]:
    """The words behind a label."""
    [found] = [row for row in table.splitlines() if row.startswith(label)]
    return found.removeprefix(label).split()


def test_each_row_has_return_success_and_score():
    table = text()
    assert line(table, "random play") == ["-4.00", "-", "0.00"]
    assert line(table, "planner mcts") == ["6.00", "1.00", "1.00"]
    assert line(table, "last learner alone") == ["5.00", "0.75", "0.90"]
    assert "mean of 50 episodes" in table
    assert "a seed" not in table


def test_a_planner_that_was_measured_on_fewer_episodes_is_named():
    table = text(final__planner_episodes=10)
    assert "the planner and all scores: 10 of these episodes" in table
    assert "of these episodes" not in text()


def test_a_constant_action_has_a_row_where_it_was_measured():
    table = text(final__constant_reward=1.5, final__constant_success_rate=0.25)
    assert line(table, "constant action") == ["1.50", "0.25", "-"]
    assert "constant" not in text()


def test_a_planner_worse_than_random_play_has_no_score():
    nan = np.nan
    table = text(
        final__planner_reward=-5.0, final__last_score=nan, final__best_score=nan
    )
    assert line(table, "planner mcts") == ["-5.00", "1.00", "-"]
    assert line(table, "last learner alone") == ["5.00", "0.75", "-"]
    assert "no score: the planner is no better than random play" in table


def test_data_are_the_upper_end_of_scores_where_no_planner_acts():
    table = text(without="final/planner_", final__data_reward=6.0)
    assert line(table, "mean of the data") == ["6.00", "-", "1.00"]
    assert "planner" not in table
    table = text(
        without="final/planner_",
        final__data_reward=-4.0,
        final__last_score=np.nan,
        final__best_score=np.nan,
    )
    assert "no score: the data are not clearly better than random play" in table


def test_d4rls_score_is_shown_where_there_is_one():
    table = text(final__last_d4rl_score=81.0, final__best_d4rl_score=92.5)
    assert "D4RL score: last 81.00, best 92.50" in table
    assert "D4RL" not in text()


def test_a_world_without_success_has_no_column_for_it():
    nan = np.nan
    table = text(
        final__planner_success_rate=nan,
        final__last_success_rate=nan,
        final__best_success_rate=nan,
    )
    assert "success" not in table
    assert line(table, "best learner alone") == ["5.00", "0.90"]


def test_the_lowest_seed_is_shown_where_seeds_differ():
    table = text(seeds=3, final__last_mean_reward=[5.0, 3.0, 7.0])
    assert "mean of 3 seeds, 50 episodes each [lowest seed]" in table
    assert line(table, "last learner alone")[-3:] == ["[3.00,", "0.75,", "0.90]"]
    assert "[" not in " ".join(line(table, "random play"))
    assert line(table, "planner calls")[:3] == ["100", "a", "seed,"]


@pytest.mark.parametrize(
    ("seeds", "faults", "late", "expected"),
    [
        (1, 61, 0, "61 gave no valid action; the learner acted instead"),
        (1, 0, 2, "2 missed the deadline; the learner acted instead"),
        (
            *(2, [61, 63], [0, 0.5]),
            "per seed, 62 gave no valid action and fewer than 1 missed the deadline; "
            "the learner acted instead",
        ),
    ],
)
def test_failed_calls_are_told_in_plain_words(
    seeds: int, faults: Any, late: Any, expected: str
):
    table = text(seeds=seeds, planner__faults_total=faults, planner__late_total=late)
    assert " ".join(line(table, "failed calls")) == expected
    assert "failed calls" not in text()


def test_estimates_stand_beside_true_values_with_their_errors():
    table = text(
        seeds=2,
        final__last_fqe=np.array([4.0, 4.5]),
        final__best_fqe=np.array([5.0, 5.0]),
        final__last_discounted_reward=4.5,
        final__best_discounted_reward=4.75,
        final__last_discounted_error=0.25,
        final__best_discounted_error=np.nan,
    )
    assert line(table, "discounted return")[:5] == ["by", "FQE", "true", "error", "+-"]
    last = ["4.25", "4.50", "-0.25", "+-", "0.25", "[-0.50", "to", "0.00]"]
    assert line(table, "last policy") == last
    assert line(table, "best policy") == ["5.00", "4.75", "0.25", "+-", "-"]
    assert "discounted" not in text()


def test_an_estimate_stands_alone_where_nothing_was_played():
    table = text(final__last_fqe=4.0)
    assert line(table, "discounted return") == ["by", "FQE"]
    assert line(table, "last policy") == ["4.00"]
    assert "best policy" not in table


HAND_OVER: dict[str, Any] = {
    "final__handover_dip_depth": [0.4, 0.02, 0.2],
    "final__handover_dip_return": [4.0, 0.2, 2.0],
    "final__handover_recovery_steps": [3_000, 0, 1_000],
    "final__handover_recovered": [0, 1, 1],
    "final__handover_lowest_score": [0.5, 0.7, 0.6],
    "final__handover_regret": [0.1, 0.1, 0.4],
    "final__handover_calls_to_score_0.5": [1_000, 1_000, 1_600],
    "final__handover_calls_to_score_0.9": [np.nan, 1_400, 1_600],
}


def test_the_hand_over_is_told_in_plain_words():
    table = text(seeds=3, **HAND_OVER)
    block = table.partition("hand-over")[2].splitlines()[:6]
    assert block == [
        ", learner alone: mean +- standard deviation of 3 seeds",
        "lowest score          0.60 +- 0.10",
        "largest dip           0.21 +- 0.19 of score, recovered after 1,000 steps, "
        "not recovered at the end in 1 of 3 seeds",
        "regret                0.20 +- 0.17 (1 - mean score over training)",
        "score of 0.5          after 1,200 +- 346 planner calls",
        "score of 0.9          after 1,500 +- 141 planner calls, in 2 of 3 seeds",
    ]
    never = {"final__handover_calls_to_score_0.9": np.nan}
    table = text(seeds=3, **(HAND_OVER | never))
    assert " ".join(line(table, "score of 0.9")) == "not reached"
    assert "hand-over" not in text()


def test_without_scores_the_dip_is_one_of_returns():
    nan = np.full(3, np.nan)
    unknown: dict[str, Any] = dict.fromkeys(HAND_OVER, nan)
    dip = {"final__handover_dip_return": HAND_OVER["final__handover_dip_return"]}
    table = text(seeds=3, **(unknown | dip))
    assert " ".join(line(table, "largest dip")) == "2.07 +- 1.90 of return"
    assert "lowest score" not in table
