"""The tables of a comparison: what is printed, and when an arm wins."""

import csv
from collections.abc import Sequence

import numpy as np
import pytest

from curriculum.report.curves import Curve, Series
from curriculum.report.measures import RETURN, Terms
from curriculum.report.tables import (
    comparison,
    curves_csv,
    seeds_csv,
    verdicts_csv,
    verdicts_of,
)

NEVER = np.nan
NOISE = np.array([-0.2, 0.1, 0.0, 0.2, -0.1])


def curve(final: Sequence[float], first_success: Sequence[float] = ()) -> Curve:
    """A run of two evaluations; random play returns 0, its planner 9.5 at the end."""
    seeds = list(range(len(final)))
    last = np.array(final, float)
    values = {
        "last_mean_reward": last,
        "last_success_rate": np.full(len(final), 0.5),
        "last_score": np.full(len(final), np.nan),
        "planner_calls": np.full(len(final), 1234.0),
        "planner_reward": np.full(len(final), 9.5),
        "random_reward": np.full(len(final), 0.0),
        "planner_episodes": np.full(len(final), 50.0),
    }
    reward = np.stack([np.zeros(len(final)), last])
    steps = np.array([0, 10])
    return Curve(
        seeds=seeds,
        steps=steps,
        reward=reward,
        final={f"final/{tag}": value for tag, value in values.items()},
        episodes=50,
        first_success=np.array(first_success or [NEVER] * len(final)),
        seconds=12.4,
        baselines={"random": 0.0, "planner": 8.5},
        planner_ms=0.25,
        calls=np.array([[100.0], [1234.0]]).repeat(len(final), 1),
        planner_seconds=np.array([[0.1], [0.5]]).repeat(len(final), 1),
        wall_seconds=np.array([1.0, 12.0]),
        series={
            "eval/mean_reward": Series(steps, reward),
            "eval/score": Series(steps, reward / 10),
        },
    )


def arms(**differences: np.ndarray | float) -> dict[str, Curve]:
    """An arm "base" of five seeds, and one for each difference to it."""
    base = np.array([1.0, 2, 3, 4, 5])
    others = {name: curve(list(base + by)) for name, by in differences.items()}
    return {"base": curve(list(base)), **others}


def rows(table: str) -> list[list[str]]:
    """The cells of each row."""
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines]


def row(table: str, *first: str) -> list[str]:
    """The other cells of the first row that begins with these."""
    found = [cells for cells in rows(table) if tuple(cells[: len(first)]) == first]
    return found[0][len(first) :]


def test_a_row_holds_results_and_costs():
    table = comparison({"a": curve([1, 3], [100, NEVER])})
    assert row(table, "a") == [
        *("2.00 +- 1.41", "0.50", "-", "1.00 +- 0.71", "100 (1 of 2 seeds)"),
        *("never", "9.50", "1,234", "0.25", "12"),
    ]
    assert "minus" not in table
    assert table.splitlines()[-1].startswith("Learner alone, mean over seeds 0, 1 +-")


def test_an_arm_wins_where_its_advantage_is_large_and_sure():
    # +3 with a standard deviation of 0.158: an interval of 2.7764 * 0.158 / sqrt(5)
    table = comparison(arms(high=3 + NOISE, low=-3 + NOISE, wide=30 * NOISE))
    difference, p, verdict = row(table, "high", "final return")
    assert (difference, p, verdict) == ("+3.00 [+2.80, +3.20]", "<0.001", "high wins")
    assert row(table, "low", "final return")[2] == "base wins"
    over = row(table, "high", "return over training")
    assert over[0] == "+1.50 [+1.40, +1.60]"
    assert row(table, "wide", "final return")[2].startswith("no difference")


def test_p_is_corrected_for_all_comparisons_of_a_table():
    # t = 3.5355 of 4 degrees of freedom: p 0.0241
    by = 0.25 + NOISE
    [alone] = verdicts_of(arms(b=by), Terms(tags=(RETURN,), smallest=0))[:1]
    assert alone.p == pytest.approx(2 * 0.02411, abs=1e-4)  # final and over training
    several = verdicts_of(arms(b=by, c=by, d=by), Terms(smallest=0))
    # of 9 comparisons, 3 of a first success that never comes
    assert several[0].p == pytest.approx(9 * 0.02411, abs=1e-3)
    assert (alone.winner, several[0].winner) == ("b", "")


def test_a_difference_that_does_not_matter_has_no_winner():
    table = comparison(arms(b=0.1 + NOISE / 100))
    assert row(table, "b", "final return") == [
        *("+0.10 [+0.10, +0.10]", "<0.001"),
        "no winner: less than 0.19, the smallest difference that matters",
    ]
    table = comparison(arms(b=0.1 + NOISE / 100), Terms(smallest=0.01))
    assert row(table, "b", "final return")[2] == "b wins"


@pytest.mark.parametrize(("seeds", "winner"), [(5, ""), (10, "b")])
def test_equal_differences_win_by_the_number_of_seeds(seeds: int, winner: str):
    base = list(range(seeds))
    found = verdicts_of({"a": curve(base), "b": curve([x + 4 for x in base])})
    assert found[0].winner == winner
    if not winner:
        # of three comparisons; 1 / 2**6 is below 0.05 / 3
        assert found[0].text.endswith("about 7 seeds would be needed")


def test_no_difference_says_how_many_seeds_would_find_one():
    # one standard deviation: 10 seeds alone, more for three comparisons
    by = 1.0 + NOISE / NOISE.std(ddof=1)
    found = verdicts_of(arms(b=by))
    assert found[0].text == "no difference found; about 14 seeds would be needed"
    assert found[2].text == "no difference"


def test_an_arm_does_not_win_by_the_seeds_on_which_it_failed():
    failed = arms(b=np.array([5.0, 5.1, 5.2, 5.3, NEVER]))
    table = comparison(failed)
    assert row(table, "b", "final return")[1:] == [
        "-",
        "no winner: 4 of 5 seeds have both",
    ]
    assert row(table, "b")[0] == "7.65 +- 1.42 (4 of 5 seeds)"


def test_seeds_that_never_succeed_do_not_make_their_arm_the_first():
    values = [1.0, 2, 3, 4, 5]
    table = comparison(
        {
            "base": curve(values, [3, 3.1, 3.2, 3.3, 3.4]),
            "two": curve(values, [1, 1.1, NEVER, NEVER, NEVER]),
        }
    )
    difference, _, verdict = row(table, "two", "first success at step")
    assert difference == "+3.22, earlier on 2, later on 3 of 5 seeds"
    assert verdict.startswith("no difference found")
    assert row(table, "two")[4] == "never (2 of 5 seeds)"
    assert row(table, "base")[4] == "3"


def test_an_earlier_success_wins():
    values = list(range(10))
    early = [1 + 0.1 * x for x in values]
    late = [5 + 0.1 * x for x in values]
    found = verdicts_of({"a": curve(values, late), "b": curve(values, early)})
    assert (found[2].measure, found[2].winner) == ("first success at step", "b")


def test_three_seeds_have_no_winner():
    table = comparison({"a": curve([1, 2, 3]), "b": curve([8, 9.1, 10])})
    assert row(table, "b", "final return")[2] == "no winner: it takes 4 seeds or more"


def test_robust_figures_are_those_of_the_last_scores():
    def scored(scores: list[float]) -> Curve:
        run = curve(scores)
        return run._replace(final=run.final | {"final/last_score": np.array(scores)})

    low, high = scored([0.0, 0.5, 0.5, 0.6, 2.0]), scored([0.7, 0.8, 0.9, 0.55, 0.3])
    table = comparison({"low": low, "high": high})
    [of_low] = [cells for cells in rows(table) if cells[0] == "low" and len(cells) == 4]
    [of_high] = [
        cells for cells in rows(table) if cells[0] == "high" and len(cells) == 4
    ]
    assert of_low[1].startswith("0.53 [")  # the mean of 0.5, 0.5, 0.6
    assert of_low[2:] == ["0.48", "-"]  # (1 + 0.5 + 0.5 + 0.4 + 0) / 5
    # 0.7, 0.8, 0.9 are above four, 0.55 above three, 0.3 above one of five
    assert of_high[3].startswith("0.64 [")


def test_the_last_policy_counts_even_where_the_best_is_better():
    run = curve([1, 3])
    better = run._replace(
        final=run.final | {"final/best_mean_reward": np.array([50.0, 70.0])}
    )
    assert row(comparison({"a": better}), "a")[0] == "2.00 +- 1.41"


def test_return_over_training_weighs_evaluations_by_their_steps():
    run = curve([1])._replace(
        steps=np.array([0, 10, 40]), reward=np.array([[0.0], [2.0], [4.0]])
    )
    assert row(comparison({"a": run}), "a")[3] == "2.50"  # (10 * 1 + 30 * 3) / 40


def test_a_planner_that_played_fewer_episodes_is_marked():
    run = curve([1, 3])
    few = run.final | {"final/planner_episodes": np.array([5.0, 5.0])}
    assert row(comparison({"a": run._replace(final=few)}), "a")[6] == (
        "9.50 (5 episodes)"
    )


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_csv_files_hold_every_seed_every_evaluation_and_every_verdict():
    found = arms(high=3 + NOISE)
    seeds = read(seeds_csv(found))
    assert len(seeds) == 10
    assert (seeds[5]["arm"], seeds[5]["seed"]) == ("high", "0")
    assert float(seeds[5]["final return"]) == pytest.approx(3.8)
    assert seeds[5]["first success at step"] == ""
    # the score is a tenth of the return: 8.1 at the end is below 0.9
    assert {line["calls_to_score_0.9"] for line in seeds} == {""}
    low = read(seeds_csv(found, Terms(reach=0.75)))
    assert [line["calls_to_score_0.75"] for line in low[-2:]] == ["", "1234.0"]
    evaluations = read(curves_csv(found))
    assert len(evaluations) == 20
    assert evaluations[5] == {
        **{"arm": "base", "seed": "0", "step": "10", "return": "1.0", "score": "0.1"},
        **{"planner_calls": "1234.0", "planner_ms": "500.0", "seconds": "12.0"},
    }
    [first, *_] = read(verdicts_csv(verdicts_of(found)))
    assert (first["arm"], first["reference"], first["winner"]) == (
        "high",
        "base",
        "high",
    )
    assert float(first["mean"]) == pytest.approx(3)
