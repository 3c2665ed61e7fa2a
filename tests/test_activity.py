"""Phases of long work: shown to whoever listens, and interrupted on request."""

import pytest

from curriculum.activity import (
    Interrupted,
    Phase,
    announce,
    listening,
    overhearing,
    phase,
)


def test_listeners_see_the_beginning_every_advance_and_the_end():
    seen: list[tuple[float, bool]] = []

    def show(current: Phase) -> None:
        seen.append((current.done, current.finished))

    with listening(show), phase("planner", total=2, unit="episodes") as current:
        current.advance()
        current.update(2)
    assert seen == [(0, False), (1, False), (2, False), (2, True)]


def test_stop_interrupts_the_next_advance():
    with (
        listening(lambda current: None, stop=lambda: True),
        pytest.raises(Interrupted),
        phase("start", total=10, unit="transitions") as current,
    ):
        current.advance()


def test_without_a_listener_nothing_happens():
    with phase("start", total=1, unit="steps") as current:
        current.advance()
    assert current.finished


def test_a_report_never_interrupts():
    with (
        listening(lambda current: None, stop=lambda: True),
        phase("online", total=10, unit="steps", done=4) as current,
    ):
        assert current.share == 0.4
        current.report(5)
    assert current.share == 0.5


def test_the_share_can_differ_from_what_is_counted():
    with phase("planner", total=4, unit="episodes") as current:
        current.update(1, share=0.7)
        assert current.share == 0.7
        current.advance()
    assert current.share == 0.5


def test_what_is_announced_reaches_listeners_alone(capsys: pytest.CaptureFixture):
    said: list[str] = []
    announce("nobody hears this")
    with listening(lambda current: None, say=said.append):
        announce("6 features are scaled")
    assert said == ["6 features are scaled"]
    assert capsys.readouterr().err == ""


def test_phases_can_be_overheard_on_their_way_to_the_listener():
    seen: list[str] = []
    with (
        listening(lambda current: seen.append("listener")),
        overhearing(lambda current: seen.append(current.name)),
        phase("online", total=10, unit="steps"),
    ):
        pass
    assert seen == ["online", "listener"] * 2
