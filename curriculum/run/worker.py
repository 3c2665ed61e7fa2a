"""Calls in a thread of their own, which the caller need not wait for."""

import contextvars
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import torch

from curriculum import activity
from curriculum.calls import PATIENCE

POLL = 0.1  # seconds between two looks at whether the run is asked to stop


class Late(Exception):
    """A call did not return in time; it goes on by itself."""


class Worker:
    """Makes one call at a time; a result that comes too late is dropped.

    The thread begins with the first call and ends with the worker. It has the context
    variables and the number of threads of its caller, so results are the same."""

    def __init__(self) -> None:
        self._mail = _Mail()
        self._started = False
        self._abandoned = False

    @property
    def busy(self) -> bool:
        """Whether a call that was late is still going on."""
        if self._abandoned and self._mail.done.acquire(blocking=False):
            self._abandoned = False
        return self._abandoned

    def call(self, function: Callable[..., Any], *given: Any, timeout: float) -> Any:
        """Return what `function` returns, or raise what it raises; Late after `timeout`
        seconds, Interrupted soon after the run was asked to stop."""
        assert not self.busy
        self._start()
        self._mail.give(function, given)
        self._abandoned = True  # if this is left by an exception
        self._wait(timeout)
        self._abandoned = False
        error, result = self._mail.take()
        if error is not None:
            raise error
        return result

    def _start(self) -> None:
        if self._started:
            return
        thread = threading.Thread(target=_serve, args=(self._mail,), daemon=True)
        thread.start()
        weakref.finalize(self, self._mail.give, None, ())
        self._started = True

    def _wait(self, timeout: float) -> None:
        now = time.monotonic()
        deadline = now + timeout
        last = deadline
        while not self._mail.done.acquire(timeout=min(max(last - now, 0), POLL)):
            now = time.monotonic()
            if last == deadline and activity.is_stopping():
                last = min(deadline, now + PATIENCE)
            if now >= deadline:
                raise Late
            if now >= last:
                raise activity.Interrupted


class _Mail:
    """What a worker and its thread hand to each other."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.done = threading.Lock()
        self.done.acquire()
        self.job: Any = None
        self.outcome: tuple[BaseException | None, Any] = (None, None)

    def give(self, function: Callable[..., Any] | None, given: tuple[Any, ...]) -> None:
        """Ask for a call; without a function, the thread ends."""
        context = contextvars.copy_context()
        self.job = function, given, context, torch.get_num_threads()
        self.asked.release()

    def take(self) -> tuple[BaseException | None, Any]:
        """The outcome of the call, which is forgotten."""
        outcome = self.outcome
        self.outcome = (None, None)
        return outcome


def _serve(mail: _Mail) -> None:
    """Make the calls that are asked for."""
    while True:
        mail.asked.acquire()
        function, given, context, threads = mail.job
        mail.job = None
        if function is None:
            return
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        try:
            mail.outcome = (None, context.run(function, *given))
        except BaseException as error:
            mail.outcome = (error, None)
        del function, given, context
        mail.done.release()
