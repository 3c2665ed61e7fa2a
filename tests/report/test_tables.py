"""The table of a comparison: what is printed, and when an arm wins."""

import numpy as np
import pytest

from curriculum.report.curves import Curve
from curriculum.report.tables import comparison


def curve(final: list[float], first_success: list[float] | None = None) -> Curve:
    seeds = list(range(len(final)))
    last = np.array(final, float)
    values = {
        "last_mean_reward": last,
        "last_success_rate": np.full(len(final), 0.5),
        "last_score": np.full(len(final), np.nan),
        "planner_calls": np.full(len(final), 1234.0),
        "planner_reward": np.full(len(final), 9.5),
        "planner_episodes": np.full(len(final), 50.0),
    }
    return Curve(
        seeds=seeds,
        steps=np.array([0, 10]),
        reward=np.stack([np.zeros(len(final)), last]),
        final={f"final/{tag}": value for tag, value in values.items()},
        episodes=50,
        first_success=np.array(first_success or [np.nan] * len(final)),
        seconds=12.4,
        baselines={"random": 0.0, "planner": 8.5},
        planner_ms=0.25,
    )


def rows(table: str) -> dict[str, list[str]]:
    """The cells of each row by its first cell; of a name that comes twice, the last."""
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    cells = [line.strip("| ").split(" | ") for line in lines]
    return {name: rest for name, *rest in cells}


def test_a_row_holds_results_and_costs():
    table = comparison({"a": curve([1, 3], [100, np.nan])})
    assert rows(table)["a"] == [
        *("2.00 +- 1.41", "0.50", "-", "1.00 +- 0.71", "100 (1 of 2 seeds)"),
        *("9.50", "1,234", "0.25", "12"),
    ]
    assert "minus" not in table
    assert table.splitlines()[-1].startswith("Learner alone, mean over seeds 0, 1 +-")


def test_the_winner_is_named_where_the_interval_excludes_zero():
    table = comparison(
        {
            "base": curve([1, 2, 3], [10, 20, 30]),
            "high": curve([11, 12.1, 13.2], [20, 30, 40]),
            "wide": curve([0, 9, 3], [10, 20, 30]),
        }
    )
    assert rows(table)["high"] == [
        "+10.10 [+9.85, +10.35], high wins",
        "+5.05 [+4.93, +5.17], high wins",
        "+10.00 [+10.00, +10.00], base wins",  # later success
    ]
    assert rows(table)["wide"][0].endswith(", no winner")


@pytest.mark.parametrize("difference", [1e-12, 0.004, -0.004, 0.0])
def test_a_difference_that_prints_as_zero_has_no_winner(difference: float):
    values = np.array([1.0, 2.0, 3.0])
    arms = {"a": curve(list(values)), "b": curve(list(values + difference))}
    final = rows(comparison(arms))["b"][0]
    assert final[1:5] == "0.00"
    assert final.endswith("no winner")


def test_the_smallest_difference_that_prints_can_win():
    values = np.array([1.0, 2.0, 3.0])
    arms = {"a": curve(list(values)), "b": curve(list(values + 0.006))}
    assert rows(comparison(arms))["b"][0] == "+0.01 [+0.01, +0.01], b wins"


def test_values_that_are_missing_on_all_seeds_are_dashes():
    table = comparison({"a": curve([1, 2]), "b": curve([3, 4])})
    assert rows(table)["b"][2] == "-"


def test_seeds_that_never_succeed_do_not_make_their_arm_the_first():
    never = np.nan
    table = comparison(
        {
            "base": curve([1, 2, 3, 4, 5], [300, 310, 320, 330, 340]),
            "two": curve([1, 2, 3, 4, 5], [100, 110, never, never, never]),
        }
    )
    assert rows(table)["two"][2] == "2 of 5 seeds have both, no winner"


def test_the_last_policy_counts_even_where_the_best_is_better():
    run = curve([1, 3])
    better = run._replace(
        final=run.final | {"final/best_mean_reward": np.array([50.0, 70.0])}
    )
    assert rows(comparison({"a": better}))["a"][0] == "2.00 +- 1.41"


def test_return_over_training_weighs_evaluations_by_their_steps():
    run = curve([1])._replace(
        steps=np.array([0, 10, 40]), reward=np.array([[0.0], [2.0], [4.0]])
    )
    assert rows(comparison({"a": run}))["a"][3] == "2.50"  # (10 * 1 + 30 * 3) / 40


def test_a_planner_that_played_fewer_episodes_is_marked():
    run = curve([1, 3])
    few = run.final | {"final/planner_episodes": np.array([5.0, 5.0])}
    assert rows(comparison({"a": run._replace(final=few)}))["a"][5] == (
        "9.50 (5 episodes)"
    )
