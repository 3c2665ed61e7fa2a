"""The display of phases: few plain lines with estimates, or bars on a terminal."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from curriculum.activity import Phase, listening, phase
from curriculum.decays.linear import Linear
from curriculum.learners.dqn import DQN
from curriculum.listeners._phases.bars import Bars
from curriculum.listeners._phases.lines import Lines
from curriculum.listeners._phases.pace import Pace, describe, duration
from curriculum.listeners.progress import Progress
from curriculum.run.loop import train
from curriculum.setting.config import Config, flat
from curriculum.starts.expert import Expert

CONFIG = Config(
    learner=DQN(hidden=(16,), batch_size=16),
    start=Expert(size=16),
    steps=80,
    eval_every=80,
    eval_episodes=4,
)


class Clock:
    """A clock that stands still unless it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Story:
    """Work that takes known times, and what a display says about it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.stream = io.StringIO()
        self.display = Lines(stream=self.stream, clock=self.clock)
        self.lines: list[tuple[float, str]] = []  # (seconds since the beginning, line)

    @contextmanager
    def work(self, name: str, total: float, unit: str, hint: str = "") -> Iterator:
        with listening(self.display.show), phase(name, total, unit, hint) as current:
            yield current

    def wait(self, seconds: float) -> None:
        """Let time pass, and the display tick every half a second."""
        for _ in range(int(2 * seconds)):
            self.clock.now += 0.5
            self.display.tick()
            said = self.stream.getvalue().splitlines()[len(self.lines) :]
            self.lines += [(self.clock.now - 1_000, line) for line in said]


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_phase_is_named_within_five_seconds_then_estimated(story: Story):
    with story.work("planner", 50, "episodes", "--planner.episodes") as current:
        for _ in range(13):
            story.wait(20)
            current.advance()
    assert story.lines[0] == (2, "planner: 0 of 50 episodes")
    assert story.lines[1] == (
        15,
        "planner: 0 of 50 episodes, no estimate after 15 s; "
        "to shorten it, lower --planner.episodes",
    )
    # the first episode ended after 20 s: 49 more take 980 s
    assert story.lines[2] == (
        20.5,
        "planner: 1 of 50 episodes, about 17 min left; "
        "to shorten it, lower --planner.episodes",
    )
    times = [time for time, _ in story.lines]
    assert times[-1] > 150
    assert len(times) <= 9


def test_a_line_is_not_lost_while_messages_of_others_are_suppressed(story: Story):
    with redirect_stderr(io.StringIO()) as own:
        display = Lines(clock=story.clock)
    with redirect_stderr(io.StringIO()) as others:
        display.say("planner: 50 episodes")
    assert own.getvalue() == "planner: 50 episodes\n"
    assert others.getvalue() == ""


def test_setup_is_named_after_a_second(story: Story):
    with story.work("setup", 0, ""):
        story.wait(3)
    assert [time for time, _ in story.lines] == [1]


def test_a_short_estimate_gives_no_advice(story: Story):
    with story.work("start", 80, "transitions", "--start.size") as current:
        for _ in range(60):
            story.wait(1)
            current.advance()
    assert story.lines[0] == (2, "start: 1 of 80 transitions, about 3 min left")
    assert len(story.lines) == 4
    assert not any("lower" in line for _, line in story.lines)


def test_ten_hours_take_a_few_dozen_lines(story: Story):
    """An expert, a start, and 200 slow evaluations inside the online phase."""
    with story.work("expert", 3_600, "steps") as current:
        for _ in range(3_600):
            story.wait(1)
            current.advance()
    with story.work("online", 200, "steps") as online:
        for _ in range(200):
            story.wait(100)
            with story.work("evaluation", 60, "episodes") as current:
                for _ in range(60):
                    story.wait(1)
                    current.advance()
            online.report(online.done + 1)
    assert len(story.lines) < 70
    assert [seconds for seconds, _ in story.lines[:5]] == [2, 15, 30, 60, 96]
    shown = {line.partition(":")[0] for _, line in story.lines}
    assert shown == {"expert", "online", "evaluation"}
    first_of_online = next(t for t, line in story.lines if line.startswith("online"))
    assert first_of_online == 3_602


def test_an_estimate_follows_a_change_of_pace():
    clock = Clock()
    slow = Phase(name="online", total=100, unit="steps")
    pace = Pace(slow, clock.now)
    for step in range(1, 81):
        clock.now += 10 if step <= 20 else 1
        slow.report(step)
        pace.measure(clock.now)
    # in the second half of 260 s 60 steps took a second each, 7 took ten; by all of
    # them it would be 65 s
    assert pace.left(clock.now) == pytest.approx(20 * 130 / 67, rel=0.05)
    slow.report(104)  # rows are stepped together, past the total
    assert pace.left(clock.now + 1) == 0


def test_an_estimated_share_that_stands_still_gives_no_endless_wait():
    """As while three long episodes go on without an end."""
    clock = Clock()
    current = Phase(name="planner", total=3, unit="episodes")
    pace = Pace(current, clock.now)
    for _ in range(100):
        clock.now += 1
        current.update(0, share=0.25)
        pace.measure(clock.now)
    assert pace.left(clock.now) == pytest.approx(300)


def test_a_phase_that_has_its_total_tells_what_it_still_does_and_no_time():
    current = Phase(name="collect", total=400, unit="transitions")
    pace = Pace(current, 0)
    current.report(200)
    pace.measure(10)
    assert describe(pace, 10) == "collect: 200 of 400 transitions, about 10 s left"
    current.report(400, "finishing 8 episodes")
    pace.measure(20)
    done = "collect: 400 of 400 transitions, finishing 8 episodes"
    assert describe(pace, 60) == done


def test_a_resumed_phase_is_estimated_by_its_own_pace():
    clock = Clock()
    resumed = Phase(name="online", total=100, unit="steps", done=90, share=0.9)
    pace = Pace(resumed, clock.now)
    clock.now += 10
    resumed.report(95)
    assert pace.left(clock.now) == pytest.approx(10)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4, "4 s"),
        (89, "89 s"),
        (90, "2 min"),
        (240, "4 min"),
        (7_200, "2 h"),
        (216_000, "2.5 days"),
    ],
)
def test_durations_are_written_in_the_unit_that_suits_them(seconds: float, text: str):
    assert duration(seconds) == text


def test_a_terminal_shows_nested_bars_with_estimates():
    clock = Clock()
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, height=30)
    display = Bars(console=console, clock=clock)
    with listening(display.show), phase("online", 200, "steps") as online:
        clock.now += 50
        online.report(100)
        with phase("evaluation", 8, "episodes") as current:
            clock.now += 10
            current.update(2, "return 3.5")
            display.tick()
            shown = screen.getvalue()
        screen.truncate(0)
        display.tick()
        online_alone = screen.getvalue()
    display.close()
    assert "100 of 200 steps" in shown
    assert "about 60 s left" in shown  # half of it took 60 s
    assert "2 of 8 episodes" in shown
    assert "about 30 s left" in shown
    assert "return 3.5" in shown
    assert "━" in shown
    assert "episodes" not in online_alone
    assert "online: 100 of 200 steps in 60 s" in screen.getvalue()


def test_training_in_a_notebook_prints_nothing(capfd: pytest.CaptureFixture):
    list(train(CONFIG))
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == ""


def test_progress_shows_phases_in_a_notebook_if_asked(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("curriculum.listeners._phases.lines.FIRST", 0.0)
    with Progress().following() as progress:
        for _ in train(CONFIG):
            progress.display.tick()
    shown = capsys.readouterr().err
    assert "online: " in shown
    assert " of 80 steps" in shown


def test_the_rate_of_an_evaluation_is_that_of_its_own_step(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    """Reports are rarer than evaluations here."""
    config = replace(CONFIG, decay=Linear(duration=80), log_every=1_000, eval_every=16)
    progress = Progress().open(tmp_path, flat(config), [])
    rates = {}
    for record in train(config):
        progress(record)
        if record.kind == "evaluate":
            rates[record.step] = record.values["eval/planning_rate"].item()
    assert rates == pytest.approx({step: 1 - step / 80 for step in range(0, 81, 16)})
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("rate ")[1][:4] for line in lines] == [
        *("1.00", "0.80", "0.60", "0.40", "0.20", "0.00")
    ]


@pytest.mark.parametrize(
    ("is_terminal", "term", "expected"),
    [(True, "xterm", Bars), (True, "dumb", Lines), (False, "xterm", Lines)],
)
def test_bars_need_a_terminal_that_can_move_the_cursor(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, term: str, expected: type
):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    with Progress().following() as progress:
        assert type(progress.display) is expected
