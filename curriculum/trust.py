"""Whether the user trusts files that can run code when they are read.

Two kinds of files can: the zips of Stable-Baselines3, which hold pickles, and settings
that name plug-ins by a path or as `module:Class`. The user says so with `--trust` on
the command line, which is never read from a file, or in Python:

    with trusting():
        for record in train(Config(planner=SB3(path="model.zip"))):
            ...

A plug-in that the user names on the command line is trusted, also where a file names
it.
"""

import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple


class Untrusted(ValueError):
    """A file can run code, and the user has not said that it is trusted."""


class _Trust(NamedTuple):
    everything: bool
    names: frozenset[str]  # of plug-ins that are trusted


_nothing = _Trust(everything=False, names=frozenset())
_trust: ContextVar[_Trust] = ContextVar("trust", default=_nothing)
_answers: set[str] = set()  # what was trusted on the terminal


@contextmanager
def trusting(trusted: bool = True, names: Collection[str] = ()) -> Iterator[None]:
    """Trust all files that are read inside this context, or only the plug-ins named;
    what was trusted before remains trusted."""
    before = _trust.get()
    token = _trust.set(_Trust(before.everything or trusted, before.names.union(names)))
    try:
        yield
    finally:
        _trust.reset(token)


def trusting_words(argv: Sequence[str]) -> AbstractContextManager[None]:
    """Trust what a command line trusts: everything with --trust, else what it names."""
    names = [*argv, *(word.partition("=")[2] for word in argv)]
    # settings name a file by its whole path
    files = [str(Path(name).resolve()) for name in names if name.endswith(".py")]
    return trusting("--trust" in argv, [*names, *files])


def require_trust(what: str, name: str = "") -> None:
    """Raise Untrusted unless the user trusts `what`, such as "the zip model.zip", or
    the plug-in `name`.

    On a terminal, ask once."""
    trust = _trust.get()
    if trust.everything or (name and name in trust.names) or what in _answers:
        return
    message = f"{what} can run any code when it is read"
    if sys.stdin.isatty() and sys.stderr.isatty():
        print(
            f"{message}. Do you trust it? [y/N] ", end="", file=sys.stderr, flush=True
        )
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            _answers.add(what)
            return
        raise Untrusted(f"{what} was not trusted")
    raise Untrusted(f"{message}; give --trust if you trust it (in Python: trusting())")
