"""The loop keeps its rate, stops where somebody is slow, and notes every step."""

import csv
import time
from typing import Any

import numpy as np
import pytest

from curriculum.envs._base.spec import spec_of
from curriculum.envs.cartpole import CartPole
from curriculum.envs.gridworld import HEADINGS, Gridworld
from curriculum.planners.shortest_path import ShortestPath
from curriculum.run.playing.caption import BAR, Caption, frame
from curriculum.run.playing.keyboard import Keyboard
from curriculum.run.playing.pace import Pace
from curriculum.run.playing.screens import Screen
from curriculum.run.playing.session import Session
from curriculum.types import Planner

CORNER = Gridworld(start="fixed")


class DownThenRight:
    """Goes down the first column, then right along the last row."""

    def act(self, obs: np.ndarray) -> np.ndarray:
        row, _, *heading = obs[0].astype(int).tolist()[:4]
        wanted = (1, 0) if row < 9 else (0, 1)
        directions = [tuple(one) for one in HEADINGS.tolist()]
        turn = directions.index(wanted) - directions.index(tuple(heading))
        return np.array([1 + (turn + 1) % 4 - 1])


class Sink(Screen):
    """Keeps what is shown."""

    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []

    def show(self, frame: np.ndarray) -> None:
        self.frames.append(frame)


class Clock:
    """Time that passes only where somebody sleeps or works."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + 0.002  # it always wakes up late


def session(learner: Any = None, **settings: Any) -> Session:
    world = settings.pop("world", CORNER)
    settings.setdefault("screen", Sink())
    learner = learner or DownThenRight()
    return Session(world=world, spec=spec_of(world), learner=learner, **settings)


def lines(played: Session) -> list[dict[str, str]]:
    return list(csv.DictReader(played.log.text.getvalue().splitlines()))


def test_the_shortest_path_from_the_corner_has_18_lines_and_returns_8_30():
    played = session()
    played.play()
    found = lines(played)
    assert [int(line["step"]) for line in found] == list(range(1, 19))
    assert [line["action"] for line in found] == [*"2", *"11111111", *"0", *"11111111"]
    assert {line["who"] for line in found} == {"learner"}
    assert float(found[-1]["cumulative_reward"]) == pytest.approx(8.30)
    assert float(found[-1]["reward"]) == pytest.approx(10)
    assert all(float(line["memory_mb"]) > 10 for line in found)
    assert all(float(line["latency_ms"]) < 100 for line in found)
    [episode] = played.episodes
    assert (episode.terminated, episode.truncated) == (True, False)
    assert episode.next_observation[-1, :2].tolist() == [9, 9]


def test_the_last_frame_shows_the_goal_reached_not_the_next_episode():
    played = session()
    played.play()
    frames = played.screen.frames  # type: ignore[attr-defined]
    assert len(frames) == 19
    seen = []
    for one in (frames[0], frames[-1]):
        is_red = (np.abs(one - np.array([214, 69, 65])) < 4).all(-1)
        seen.append(np.argwhere(is_red).mean(0))
    assert seen[0] == pytest.approx([34, 34], abs=8)  # centres of the corner cells
    assert seen[1] == pytest.approx([466, 466], abs=8)


def test_a_planner_acts_instead_of_the_learner():
    played = session(planner=ShortestPath(), episode=5)
    played.play()
    assert {line["who"] for line in lines(played)} == {"planner"}
    assert {line["episode"] for line in lines(played)} == {"5"}
    assert played.episodes[0].source.tolist() == [1] * 18  # type: ignore[union-attr]


class Broken(Planner):
    """Fails at its third call."""

    calls = 0

    def setup(self, rows: Any, spec: Any, seeds: Any) -> Any:
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.calls += 1
        return np.array([1 if self.calls < 3 else 7])


def test_a_planner_that_fails_is_named_and_what_was_played_is_kept():
    played = session(planner=Broken())
    with pytest.raises(ValueError, match="planner Broken must choose actions 0 to 2"):
        played.play()
    [episode] = played.episodes
    assert len(episode.reward) == len(lines(played)) == 2
    assert (episode.terminated, episode.truncated) == (False, True)


def test_300_frames_take_30_seconds_whatever_single_frames_take():
    clock = Clock()
    pace = Pace(10, clock, clock.sleep)
    rng = np.random.default_rng(0)
    began = clock()
    for number in range(300):
        pace.wait()
        assert clock() - began >= 0.1 * (number + 1) - 1e-6  # never early
        clock.now += 0.4 if number == 150 else rng.uniform(0, 0.09)
    assert clock() - began == pytest.approx(30, rel=0.02)


def test_after_a_long_stop_the_pace_does_not_race():
    clock = Clock()
    pace = Pace(10, clock, clock.sleep)
    clock.now += 60
    pace.wait()  # at once
    before = clock()
    for _ in range(10):
        pace.wait()
    assert clock() - before == pytest.approx(1, abs=0.01)


class Slowing(DownThenRight):
    """Takes 200 ms from its sixth call on; the first one warms up."""

    def __init__(self, clock: Clock):
        self.clock = clock
        self.calls = 0

    def act(self, obs: np.ndarray) -> np.ndarray:
        self.calls += 1
        self.clock.now += 0.2 if self.calls in (1, 6) else 0.01
        return super().act(obs)


def test_the_frame_that_is_too_slow_is_the_last():
    clock = Clock()
    learner = Slowing(clock)
    played = session(learner, max_latency_ms=150, clock=clock)
    played.play()
    assert learner.calls == 6
    assert len(lines(played)) == 4  # the late action is not taken
    assert "step 5 of episode 0: the learner took 200.0 ms" in played.problem
    [episode] = played.episodes
    assert (episode.terminated, episode.truncated) == (False, True)
    unlimited = session(Slowing(clock), clock=clock)
    unlimited.play()
    assert (unlimited.problem, unlimited.steps) == ("", 18)


def test_max_steps_cuts_the_episode():
    played = session(max_steps=7)
    played.play()
    assert len(lines(played)) == 7
    assert played.episodes[0].truncated


class Balance:
    def act(self, obs: np.ndarray) -> np.ndarray:
        return (obs[:, 2] + obs[:, 3] > 0).astype(np.int64)


def test_worlds_without_a_trail_are_shown_as_they_draw_themselves():
    played = session(Balance(), world=CartPole(), max_steps=3)
    played.play()
    first, *_ = played.screen.frames  # type: ignore[attr-defined]
    assert first.shape[0] % 2 == first.shape[1] % 2 == 0
    assert first.std() > 10


@pytest.mark.parametrize(
    ("size", "shown"), [((500, 164), (544, 480)), ((84, 84), (632, 588))]
)
def test_frames_can_be_read(size, shown):
    picture = np.full((*size, 3), 90, np.uint8)
    made = frame(picture, Caption("person", 0, 1, -0.1, "success"))
    assert (made.shape, made.dtype) == ((*shown, 3), np.uint8)
    line = made[-BAR:]
    assert (line[:, :100] == [204, 102, 20]).all(-1).sum() > 500  # who acts
    assert (line[:, 110:300] < 100).all(-1).sum() > 100  # dark text


@pytest.mark.slow
def test_the_pace_holds_in_real_time():
    played = session(pace=Pace(10), world=Gridworld(start="fixed", max_steps=300))
    played.learner = Still()
    began = time.monotonic()
    played.play()
    assert played.steps == 300
    assert time.monotonic() - began == pytest.approx(30, rel=0.02)


class Still:
    """Turns on the spot in the corner."""

    def act(self, obs: np.ndarray) -> np.ndarray:
        return np.array([0])


def test_quit_and_pause_are_keys_without_a_person():
    keyboard = Keyboard()
    keyboard._press("p")
    keyboard._press("right")
    assert (keyboard.is_paused, keyboard.is_person) == (True, False)
    keyboard._press("q")
    assert keyboard.has_quit
