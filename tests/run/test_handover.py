"""What a run says of its hand-over: worked out by hand from scores of evaluations."""

from typing import Any

import numpy as np
import pytest

from curriculum.decays.constant import Constant
from curriculum.learners.dqn import DQN
from curriculum.run.evaluation import Scale
from curriculum.run.handover import Handover
from curriculum.run.loop import train
from curriculum.setting.config import Config
from curriculum.starts.random import Random

SCALE = Scale(floor=-10.0, ceiling=10.0)
HEALTHY = np.array([True, True])


def course(
    scores: list[tuple[float, float]], offline_updates: int = 10, steps: int = 900
) -> Handover:
    """A hand-over of two seeds, evaluated every 100 steps, after 10 more planner calls
    each time."""
    config = Config(seeds=(0, 1), steps=steps, offline_updates=offline_updates)
    handover = Handover(config, from_data=False)
    for number, score in enumerate(scores):
        add(handover, 100 * number, score)
    return handover


def add(
    handover: Handover,
    step: int,
    score: tuple[float, float],
    healthy: np.ndarray = HEALTHY,
) -> None:
    values = {
        "eval/mean_reward": 20 * np.array(score) - 10,
        "eval/planning_rate": np.array([0.5, 0.5]),
        "planner/calls_total": np.array([10, 10]) * (1 + step // 100),
    }
    handover.add(step, values, healthy)


TWO_SEEDS = [(0.5, 0.1), (0.9, 0.2), (0.3, 0.1), (0.6, 0.16), (0.9, 0.1), (1.0, 0.3)]


def test_every_measure_of_a_hand_over():
    expected: dict[str, list[float]] = {
        # 0.9 at step 100, 0.3 at step 200, again 0.9 at step 400; the second seed is
        # within 0.05 of its 0.2 at step 300
        "dip_depth": [0.6, 0.1],
        "dip_return": [12, 2],
        "recovery_steps": [300, 200],
        "recovered": [1, 1],
        "lowest_score": [0.3, 0.1],
        "regret": [1 - 4.2 / 6, 1 - 0.96 / 6],
        "calls_to_score_0.5": [10, np.nan],
        "calls_to_score_0.9": [20, np.nan],
    }
    handover = course(TWO_SEEDS)
    values = handover.values(SCALE, {})
    assert values.keys() == {f"handover/{name}" for name in expected}
    final = handover.final_values(SCALE)
    for name, value in expected.items():
        np.testing.assert_allclose(values[f"handover/{name}"], value, err_msg=name)
        np.testing.assert_equal(
            final[f"final/handover_{name}"], values[f"handover/{name}"]
        )


def test_a_dip_that_has_not_recovered_goes_on():
    values = course(TWO_SEEDS[:4]).values(SCALE, {})
    assert values["handover/recovered"].tolist() == [0, 1]
    assert values["handover/recovery_steps"].tolist() == [200, 200]


def test_a_learner_that_was_not_updated_has_no_part_in_dip_and_lowest_score():
    scores = [(0.8, -0.4), (0.5, 0.2), (0.7, 0.6)]
    values = course(scores, offline_updates=0).values(SCALE, {})
    assert values["handover/dip_depth"].tolist() == [0, 0]
    np.testing.assert_allclose(values["handover/lowest_score"], [0.5, 0.2])
    np.testing.assert_allclose(values["handover/regret"], [1 - 2 / 3, 1 - 0.4 / 3])
    values = course(scores).values(SCALE, {})
    np.testing.assert_allclose(values["handover/dip_depth"], [0.3, 0])
    np.testing.assert_allclose(values["handover/lowest_score"], [0.5, -0.4])
    first = course(scores[:1], offline_updates=0).values(SCALE, {})
    assert np.isnan(first["handover/lowest_score"]).all()
    assert np.isnan(first["handover/dip_depth"]).all()


def test_evaluations_of_a_stopped_seed_do_not_count():
    handover = course(TWO_SEEDS[:2])
    add(handover, 200, (0.7, 0.0), healthy=np.array([True, False]))
    values = handover.values(SCALE, {})
    np.testing.assert_allclose(values["handover/lowest_score"], [0.5, 0.1])
    np.testing.assert_allclose(values["handover/regret"], [0.3, 0.85])


def test_the_dip_is_one_of_returns_where_there_is_no_scale():
    no_scale = Scale(floor=5.0, ceiling=-5.0)
    values = course(TWO_SEEDS).values(no_scale, {})
    known = {tag for tag, value in values.items() if np.isfinite(value).any()}
    assert known == {"handover/dip_return"}
    np.testing.assert_allclose(values["handover/dip_return"], [12, 2])


def test_an_evaluation_repeated_on_another_scale_replaces_the_first():
    handover = course(TWO_SEEDS[:1])
    add(handover, 0, (0.4, 0.4))
    values = handover.values(Scale(floor=-10.0, ceiling=0.0), {})
    np.testing.assert_allclose(values["handover/regret"], [0.2, 0.2])


def tiny(**changes: Any) -> Config:
    """A run of half a second."""
    settings: dict[str, Any] = {
        "learner": DQN(hidden=(16,), batch_size=16),
        "start": Random(size=64),
        "steps": 80,
        "eval_every": 40,
        "eval_episodes": 2,
        "planner_episodes": 2,
    }
    return Config(**(settings | changes))


def test_a_run_without_teacher_or_steps_hands_nothing_over():
    assert course(TWO_SEEDS, steps=0).values(SCALE, {}) == {}
    config = tiny(decay=Constant(value=0.0), eval_mixed=False)
    tags = {tag for record in train(config) for tag in record.values}
    assert "eval/score" in tags
    assert not [tag for tag in tags if "handover" in tag]


def test_the_hand_over_begins_where_the_offline_phase_ends():
    records = list(train(tiny(offline_updates=60, decay=Constant(value=0.5))))
    evaluations = [r for r in records if r.kind == "evaluate"]
    offline = [r for r in evaluations if r.updates is not None]
    online = [r.values for r in evaluations if r.updates is None]
    assert [r.updates for r in offline] == [0, 40, 60]
    assert not [tag for r in offline for tag in r.values if "handover" in tag]
    scores = np.array([values["eval/score"] for values in online])
    assert len(scores) == 3  # steps 0, 40 and 80
    np.testing.assert_allclose(online[0]["handover/lowest_score"], scores[0])
    assert online[0]["handover/dip_depth"] == 0
    final = records[-1].values
    np.testing.assert_allclose(final["final/handover_lowest_score"], scores.min(0))
    np.testing.assert_allclose(final["final/handover_regret"], 1 - scores.mean(0))
    for values in online:
        gap = values["eval_mixed/score"] - values["eval/score"]
        np.testing.assert_allclose(values["handover/mixed_gap"], gap)


@pytest.mark.parametrize("cut", [0, 1, 3, 5])
def test_a_hand_over_goes_on_from_its_state(cut: int):
    first = course(TWO_SEEDS[:cut])
    second = course([])
    second.load(first.state())
    for number, score in enumerate(TWO_SEEDS[cut:], cut):
        add(second, 100 * number, score)
    expected = course(TWO_SEEDS).values(SCALE, {})
    np.testing.assert_equal(second.values(SCALE, {}), expected)
