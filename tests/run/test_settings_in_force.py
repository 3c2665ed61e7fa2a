"""Settings that a run must not lose on their way to where they count."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.learners.dqn import DQN
from curriculum.planners.balance import Balance
from curriculum.planners.shortest_path import ShortestPath
from curriculum.run.loop import train
from curriculum.setting.config import Config
from curriculum.starts.expert import Expert
from curriculum.types import Decision, Record


def records(folder: Path | None = None, **changed: Any) -> list[Record]:
    """The records of a run of a second."""
    settings: dict[str, Any] = {
        "learner": DQN(hidden=(16,), batch_size=16),
        "start": Expert(size=32),
        "steps": 64,
        "log_every": 32,
        "eval_every": 64,
        "eval_episodes": 3,
        "decay": "constant",
    }
    return list(train(Config(**settings | changed), folder))


def of_kind(kind: str, found: list[Record]) -> list[dict[str, np.ndarray]]:
    return [record.values for record in found if record.kind == kind]


class Slow(ShortestPath):
    """Takes 30 ms for every call once it is 60 calls old."""

    def act(self, obs: np.ndarray, rows: np.ndarray) -> Decision:
        self.number = getattr(self, "number", 0) + 1
        time.sleep(0.03 * (self.number % 10 == 0))
        return super().act(obs, rows)


def test_the_deadline_holds_in_the_start_in_training_and_in_evaluations():
    found = records(planner=Slow(), planner_deadline_ms=1, eval_mixed=True)
    (baseline,) = of_kind("baseline", found)
    assert baseline["eval/planner_late"][0] >= 1
    assert of_kind("collect", found)[-1]["planner/late_total"][0] >= 1
    mixed = of_kind("evaluate", found)[-1]
    assert mixed["eval_mixed/planner_late"][0] >= 1


def test_without_a_deadline_nothing_is_late():
    found = records(planner=Slow(), planner_episodes=1, eval_mixed=False)
    assert of_kind("baseline", found)[0]["eval/planner_late"].tolist() == [0]
    assert of_kind("collect", found)[-1]["planner/late_total"].tolist() == [0]


def measured(**changed: Any) -> float:
    """Episodes on which a planner was measured that always takes 40 steps."""
    from curriculum.envs.cartpole import CartPole

    found = records(
        env=CartPole(max_steps=40), planner=Balance(), eval_mixed=False, **changed
    )
    (baseline,) = of_kind("baseline", found)
    assert baseline["eval/planner_ep_length"].tolist() == [40]
    return baseline["eval/planner_calls"][0] / 40


def test_a_planner_is_measured_on_as_many_episodes_as_the_settings_say():
    assert measured() == 3
    assert measured(planner_episodes=2) == 2


def test_a_planner_is_measured_on_as_many_episodes_as_its_budget_pays_for():
    assert measured(planner_budget=100) == 2
    assert measured(planner_budget=39, start="none") == 1
    assert measured(planner_budget=1_000) == 3
    assert measured(planner_budget=100, planner_episodes=3) == 3


@pytest.mark.parametrize("updates", [0, 50])
def test_updates_before_the_first_step_are_taken(updates: int):
    found = records(offline_updates=updates, updates_per_step=0.5)
    *_, first, last = of_kind("update", found)
    assert first["train/n_updates"].tolist() == [updates + 16]
    assert last["train/n_updates"].tolist() == [updates + 32]


def test_without_a_rhythm_policies_are_compressed_at_the_end_only():
    found = records(techniques=("quantize",))
    assert [record.step for record in found if record.kind == "compress"] == [64]
    assert not of_kind("compress", records())
