"""What long work is doing now, how far it is, and whether it should stop.

Work of unknown length runs inside a phase; whoever shows progress listens:

    with phase("planner", total=50, unit="episodes") as current:
        for episode in range(50):
            ...
            current.advance()

Without a listener a phase shows nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple


class Interrupted(BaseException):
    """The run was asked to stop inside a phase.

    Not an `Exception`: a plug-in that catches all of those must not hide it."""


class Aborted(Interrupted):
    """The run was asked a second time: it ends at once, without a checkpoint."""


def is_stopping() -> bool:
    """Whether the run is asked to stop."""
    return _audience.get().stop()


@dataclass(kw_only=True, eq=False)
class Phase:
    """One piece of long work."""

    name: str  # such as "random play", "planner", "expert", "start" or "evaluation"
    total: float  # how much there is to do; 0: unknown
    unit: str  # of `total` and `done`, in the plural
    hint: str = ""  # the flags to lower where it takes too long
    done: float = 0.0
    share: float = 0.0  # of the work that is done
    # whether `share` is an estimate that is made anew each time, and may stand still
    share_is_estimate: bool = False
    detail: str = ""  # the newest figures, as text
    finished: bool = False

    def advance(self, amount: float = 1.0, detail: str = "") -> None:
        """Report `amount` more as done; raises Interrupted once the run is asked to
        stop."""
        self.update(self.done + amount, detail)

    def update(self, done: float, detail: str = "", share: float | None = None) -> None:
        """Report how much is done; raises Interrupted once the run is asked to stop.

        `share` is given where the work is not proportional to what is counted."""
        self.report(done, detail, share)
        if _audience.get().stop():
            raise Interrupted

    def report(self, done: float, detail: str = "", share: float | None = None) -> None:
        """Report how much is done, as `update` does, and never raise."""
        self.done = done
        if detail:
            self.detail = detail
        if share is not None:
            self.share = share
            self.share_is_estimate = True
        elif self.total:
            self.share = done / self.total
        _audience.get().show(self)


class _Audience(NamedTuple):
    """Who follows the work of this context."""

    show: Callable[[Phase], None]
    stop: Callable[[], bool]
    say: Callable[[str], None]


_nobody = _Audience(lambda phase: None, lambda: False, lambda text: None)
_audience: ContextVar[_Audience] = ContextVar("audience", default=_nobody)


@contextmanager
def phase(
    name: str,
    total: float,
    unit: str,
    hint: str = "",
    done: float = 0.0,
    detail: str = "",
) -> Iterator[Phase]:
    """Announce work that begins now, of which `done` was done before, and its end."""
    current = Phase(
        name=name,
        total=total,
        unit=unit,
        hint=hint,
        done=done,
        share=done / total if total else 0.0,
        detail=detail,
    )
    audience = _audience.get()
    audience.show(current)
    try:
        yield current
    finally:
        current.finished = True
        audience.show(current)


def announce(text: str) -> None:
    """Say something about the work to whoever listens; nothing is said in a notebook.

    Warnings are printed to `sys.stderr` instead."""
    _audience.get().say(text)


@contextmanager
def listening(
    show: Callable[[Phase], None],
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[None]:
    """Show every phase inside this context, and interrupt it once `stop()` is true.

    `show` is called when a phase begins, each time it advances, and when it ends; `say`
    with what is announced."""
    token = _audience.set(_Audience(show, stop, say))
    try:
        yield
    finally:
        _audience.reset(token)


@contextmanager
def overhearing(hear: Callable[[Phase], None]) -> Iterator[None]:
    """Let `hear` see every phase inside this context, before the listener does."""
    audience = _audience.get()

    def show(current: Phase) -> None:
        hear(current)
        audience.show(current)

    token = _audience.set(audience._replace(show=show))
    try:
        yield
    finally:
        _audience.reset(token)
