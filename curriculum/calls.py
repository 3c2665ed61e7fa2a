"""Calls of plug-ins: which of their exceptions are faults, and how a call that never
returns is ended."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curriculum.activity import Aborted, Interrupted

PATIENCE = 4.0  # seconds that a call may go on after the command was asked to stop
LAST_PATIENCE = 3.0  # seconds more, after which the process ends
POLL = 0.1  # seconds


# --- exceptions ---


def is_fault(error: BaseException) -> bool:
    """Whether an exception is the fault of the plug-in that was called.

    A plug-in must not end the program: SystemExit, GeneratorExit and KeyboardInterrupt
    are faults. KeyboardInterrupt is the user's where nothing else handles Ctrl-C, as in
    a notebook, and where the handler raised it."""
    if isinstance(error, Interrupted):
        return False
    if isinstance(error, KeyboardInterrupt):
        handler = signal.getsignal(signal.SIGINT)
        return handler is not signal.default_int_handler and not _raised(handler, error)
    return True


def _raised(handler: object, error: BaseException) -> bool:
    """Whether a handler of signals raised an exception."""
    function = getattr(handler, "__func__", handler)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(f.f_code is getattr(function, "__code__", None) for f in frames[-1:])


def origin(error: BaseException) -> str:
    """Where an exception was raised, in brackets: the innermost line outside installed
    packages."""
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if "site-packages" not in frame.filename]
    if not frames:
        return ""
    frame = (outside or frames)[-1]
    return f" ({Path(frame.filename).name}, line {frame.lineno})"


def described(error: BaseException) -> str:
    """An exception in words, and where it was raised."""
    name = type(error).__name__
    message = f"{name}: {error}" if str(error) else name
    return message + origin(error)


@contextmanager
def without_exits() -> Iterator[None]:
    """Turn what would end the program into a ValueError where a plug-in raised it."""
    try:
        yield
    except (SystemExit, GeneratorExit, KeyboardInterrupt) as error:
        if not is_fault(error):
            raise
        raise ValueError(
            f"a plug-in raised {described(error)}; a plug-in must not end the program"
        ) from error


# --- calls that never return ---


class _Current:
    """The call that runs in the main thread now."""

    name = ""  # empty: none
    number = 0  # of the calls so far


_current = _Current()


@contextmanager
def watched(name: str) -> Iterator[None]:
    """Make a call that ends, by Aborted, if it goes on for long after a signal."""
    before = _current.name
    _current.number += 1
    _current.name = name
    try:
        yield
    finally:
        _current.name = before


@contextmanager
def ending_calls(
    patience: float = PATIENCE, last_patience: float = LAST_PATIENCE
) -> Iterator[None]:
    """End watched calls that go on after SIGINT or SIGTERM; for the main thread.

    First an exception is raised in the call. If the call hides it, or hangs outside of
    Python, the process ends: what was saved stands."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    watch = _Watch(reading, patience, last_patience)
    handler = signal.signal(signal.SIGALRM, _interrupt)
    descriptor = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(descriptor)
        signal.signal(signal.SIGALRM, handler)
        watch.closed.set()
        os.close(writing)


def _interrupt(number: int, frame: object) -> None:
    if _current.name:
        raise Aborted


class _Watch(threading.Thread):
    """Waits for a signal, then looks for calls that do not return.

    Signal numbers arrive through a pipe: handlers in Python do not run while the main
    thread hangs outside of Python."""

    def __init__(self, reading: int, patience: float, last_patience: float):
        super().__init__(name="watchdog", daemon=True)
        self.reading = reading
        self.patience = patience
        self.last_patience = last_patience
        self.closed = threading.Event()

    def run(self) -> None:
        try:
            number = self._signal()
            if number:
                self._end_calls(number)
        finally:
            os.close(self.reading)

    def _signal(self) -> int:
        """Wait for a signal that asks to stop; 0 once the pipe is closed."""
        while numbers := os.read(self.reading, 64):
            for number in numbers:
                if number in (signal.SIGINT, signal.SIGTERM):
                    return number
        return 0

    def _end_calls(self, signal_number: int) -> None:
        main = threading.main_thread().ident
        assert main is not None
        seen = -1  # number of the call that runs
        since = time.monotonic()
        while not self.closed.wait(POLL):
            if not _current.name or _current.number != seen:
                seen = _current.number
                since = time.monotonic()
                continue
            late = time.monotonic() - since - self.patience
            if late > self.last_patience:
                _exit(_current.name, signal_number)
            if late > 0:
                signal.pthread_kill(main, signal.SIGALRM)


def _exit(name: str, signal_number: int) -> None:
    """End the process at once."""
    message = (
        f"\n{name} does not return; stopped at once by "
        f"{signal.Signals(signal_number).name}, what was saved stands\n"
    )
    os.write(2, message.encode())
    os._exit(128 + signal_number)
