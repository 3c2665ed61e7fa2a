"""Whether the user trusts files that can run code when they are read.

Two kinds of files can: the zips of Stable-Baselines3, which hold pickles, and plug-ins
given by a path or as `module:Class`. The user says so with `--trust`, or in Python:

    with trusting():
        for record in train(Config(planner=SB3(path="model.zip"))):
            ...
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_trusted: ContextVar[bool] = ContextVar("trusted", default=False)


@contextmanager
def trusting(trusted: bool = True) -> Iterator[None]:
    """Trust the files that are read inside this context."""
    token = _trusted.set(trusted)
    try:
        yield
    finally:
        _trusted.reset(token)


def require_trust(what: str) -> None:
    """Raise ValueError unless the user trusts `what`, such as "the zip model.zip".

    On a terminal, ask."""
    if _trusted.get():
        return
    message = f"{what} can run any code when it is read"
    if sys.stdin.isatty() and sys.stderr.isatty():
        print(f"{message}. Do you trust it? [y/N] ", end="", file=sys.stderr)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
        raise ValueError(f"{what} was not trusted")
    raise ValueError(f"{message}; give --trust if you trust it")
