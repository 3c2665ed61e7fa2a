"""Planners that fail, hang or come late, wherever they are called."""

import re
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from curriculum.activity import Interrupted, listening
from curriculum.envs.cartpole import CartPole
from curriculum.gates.step import Step
from curriculum.planners.balance import Balance
from curriculum.planners.random import Random
from curriculum.run import worker
from curriculum.run.evaluation import play_mixed, play_planner
from curriculum.run.guard import Guard, set_up
from curriculum.run.planner_use import PlannerUse
from curriculum.types import Planner, Spec

SPEC = Spec((1,), "float32", np.zeros(1), np.ones(1), actions=4)
ROWS = np.arange(3)
OBS = np.zeros((3, 1), np.float32)
CARTPOLE = CartPole(max_steps=40)
CARTPOLE_SPEC = Spec((4,), "float32", -np.ones(4), np.ones(4), 2)


class Patient(Planner):
    """Answers with action 1 once it may, and counts how often it was asked."""

    def __init__(self) -> None:
        self.allowed = threading.Event()
        self.asked = 0

    def setup(self, rows: Any, spec: Spec, seeds: tuple[int, ...]) -> Any:
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.asked += 1
        self.allowed.wait(10)
        return np.ones(len(rows), np.int64)


class Curious(Patient):
    """Notes where it was called."""

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.thread = threading.current_thread()
        self.threads = torch.get_num_threads()
        self.divide = np.geterr()["divide"]
        return np.ones(len(rows), np.int64)


def failures(guard: Guard, calls: int) -> list[str]:
    return [guard.ask(OBS, ROWS).failure for _ in range(calls)]


def test_a_planner_that_hangs_is_not_waited_for_and_not_asked_again():
    planner = Patient()
    guard = Guard(planner, SPEC, deadline_ms=5)
    started = time.monotonic()
    assert failures(guard, 4) == ["late", "busy", "busy", "busy"]
    assert time.monotonic() - started < 2
    assert planner.asked == 1


def test_a_planner_is_asked_again_once_its_late_call_has_returned():
    planner = Patient()
    guard = Guard(planner, SPEC, deadline_ms=20)
    assert failures(guard, 1) == ["late"]
    planner.allowed.set()
    for _ in range(200):
        if not guard.worker or not guard.worker.busy:
            break
        time.sleep(0.01)
    answer = guard.ask(OBS, ROWS)
    assert answer.action is not None
    assert answer.action.tolist() == [1, 1, 1]


def test_rows_of_a_planner_that_is_busy_count_as_late_but_not_as_calls():
    use = PlannerUse(2)
    guard = Guard(Patient(), SPEC, deadline_ms=5)
    for _ in range(3):
        use.add(np.array([1, 2]), guard.ask(OBS, ROWS))
    assert use.calls.tolist() == [1, 2]
    assert use.late.tolist() == [3, 6]


def test_the_stop_of_a_run_ends_the_wait_for_a_planner(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(worker, "PATIENCE", 0.2)
    guard = Guard(Patient(), SPEC, deadline_ms=1e9)
    started = time.monotonic()
    with (
        listening(lambda phase: None, stop=lambda: True),
        pytest.raises(Interrupted),
    ):
        guard.ask(OBS, ROWS)
    assert time.monotonic() - started < 3


def test_a_planner_with_a_deadline_acts_as_one_without():
    def actions(deadline_ms: float) -> list[list[int]]:
        rows: Any = SimpleNamespace(count=3)
        planner = Random().setup(rows, SPEC, (0,))
        guard = Guard(planner, SPEC, deadline_ms)
        answers = [guard.ask(OBS, ROWS).action for _ in range(50)]
        return [answer.tolist() for answer in answers if answer is not None]

    assert actions(0) == actions(10_000)
    assert len(actions(0)) == 50


def test_a_thread_of_its_own_has_the_settings_of_its_caller():
    planner = Curious()
    guard = Guard(planner, SPEC, deadline_ms=10_000)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with np.errstate(divide="raise"):
            assert failures(guard, 1) == [""]
    finally:
        torch.set_num_threads(before)
    assert planner.thread is not threading.current_thread()
    assert (planner.threads, planner.divide) == (3, "raise")


def test_the_thread_of_a_planner_ends_with_its_guard():
    planner = Curious()
    guard = Guard(planner, SPEC, deadline_ms=10_000)
    guard.ask(OBS, ROWS)
    assert planner.thread.is_alive()
    del guard
    planner.thread.join(timeout=5)
    assert not planner.thread.is_alive()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SystemExit(0), "planner Failing cannot be set up, it raised SystemExit: 0 ("),
        (
            KeyError("map"),
            "planner Failing cannot be set up, it raised KeyError: 'map'",
        ),
        (ValueError("wants a grid"), "wants a grid"),
    ],
)
def test_what_setup_raises_is_one_sentence(error: BaseException, message: str):
    class Failing(Patient):
        def setup(self, rows: Any, spec: Spec, seeds: tuple[int, ...]) -> Any:
            raise error

    rows: Any = SimpleNamespace(count=1)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        set_up(Failing(), rows, SPEC, (0,))


# --- evaluations ---


class Clumsy(Balance):
    """Balances a pole, but every third call fails in its own way."""

    def act(self, obs: np.ndarray, rows: np.ndarray) -> Any:
        self.number = getattr(self, "number", 0) + 1
        kind = self.number % 9
        if kind == 3:
            raise RuntimeError("lost")
        if kind == 6:
            return np.full(len(rows), 2)
        if kind == 0:
            return np.full(len(rows), np.nan)
        return super().act(obs, rows)


def test_a_faulty_planner_is_measured_with_random_actions_in_its_place(
    capsys: pytest.CaptureFixture,
):
    def play() -> tuple[np.ndarray, PlannerUse]:
        use = PlannerUse(1)
        played = play_planner(Clumsy(), CARTPOLE, CARTPOLE_SPEC, range(4), use=use)
        return played.reward, use

    reward, use = play()
    assert "where it does, random actions take its place" in capsys.readouterr().err
    assert use.calls == [160]  # 4 episodes of 40 steps
    assert use.faults == [4 * (40 // 3)]
    again, _ = play()
    np.testing.assert_array_equal(reward, again)
    random = play_planner(Random(), CARTPOLE, CARTPOLE_SPEC, range(4)).reward
    assert reward.min() > random.max()


class Hanging(Balance):
    """Balances a pole, but never answers the third call."""

    def act(self, obs: np.ndarray, rows: np.ndarray) -> Any:
        self.number = getattr(self, "number", 0) + 1
        if self.number == 3:
            time.sleep(3)
        return super().act(obs, rows)


def test_the_deadline_holds_in_the_measurement_of_a_planner():
    use = PlannerUse(1)
    started = time.monotonic()
    play_planner(Hanging(), CARTPOLE, CARTPOLE_SPEC, range(4), deadline_ms=50, use=use)
    assert time.monotonic() - started < 2.5
    assert use.late[0] >= 4 * 10
    assert use.calls[0] == 12  # the third call goes on until after the end


def test_a_budget_and_faults_count_in_mixed_evaluations_too():
    class Left:
        seeds = (3, 4)

        def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
            return np.zeros(obs.shape[:2], np.int64)

    learner: Any = Left()
    _, use = play_mixed(
        learner,
        Clumsy(),
        Step(),
        np.ones(2),
        CARTPOLE,
        CARTPOLE_SPEC,
        range(4),
        step=0,
        budget=10,
    )
    assert use.calls.tolist() == [10, 10]
    assert use.faults.tolist() == [2, 2]  # the third call, of the last two rows
