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


@dataclass(kw_only=True)
class Phase:
    """One piece of long work."""

    name: str  # such as "random play", "planner", "expert", "start" or "evaluation"
    total: float  # how much there is to do; 0: unknown
    unit: str  # of `total` and `done`, in the plural
    done: float = 0.0
    detail: str = ""  # the newest figures, as text
    finished: bool = False

    def advance(self, amount: float = 1.0, detail: str = "") -> None:
        """Report `amount` more as done; raises Interrupted once the run is asked to
        stop."""
        self.update(self.done + amount, detail)

    def update(self, done: float, detail: str = "") -> None:
        """Report how much is done; raises Interrupted once the run is asked to stop."""
        self.done = done
        self.detail = detail or self.detail
        audience = _audience.get()
        audience.show(self)
        if audience.stop():
            raise Interrupted


class _Audience(NamedTuple):
    """Who follows the work of this context."""

    show: Callable[[Phase], None]
    stop: Callable[[], bool]


_nobody = _Audience(show=lambda phase: None, stop=lambda: False)
_audience: ContextVar[_Audience] = ContextVar("audience", default=_nobody)


@contextmanager
def phase(name: str, total: float, unit: str) -> Iterator[Phase]:
    """Announce work that begins now, and its end."""
    current = Phase(name=name, total=total, unit=unit)
    audience = _audience.get()
    audience.show(current)
    try:
        yield current
    finally:
        current.finished = True
        audience.show(current)


@contextmanager
def listening(
    show: Callable[[Phase], None], stop: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Show every phase inside this context, and interrupt it once `stop()` is true.

    `show` is called when a phase begins, each time it advances, and when it ends."""
    token = _audience.set(_Audience(show, stop))
    try:
        yield
    finally:
        _audience.reset(token)
