"""Machine code for loops in which numpy is slow, where numba is installed (the extra
`[fast]`).

A module of kernels defines functions with `kernel` and is imported by `load` alone: who
uses none does not wait for numba. What a kernel computes is computed by numpy, too, bit
for bit, and numpy takes its place wherever `load` returns None.

Compiled code is kept in the user's cache folder, in a folder of its own for each state
of the sources, so that other runs start without compiling. numba writes its files under
other names and renames them: several processes may compile at once.
"""

import hashlib
import importlib.util
import os
import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from curriculum.activity import announce
from curriculum.files import cache_folder

SWITCH = "CURRICULUM_KERNELS"  # environment variable; "off": numpy alone


def load(module: str, title: str) -> ModuleType | None:
    """The kernels of `module`, called `title` in messages; None where numba is missing
    or `CURRICULUM_KERNELS=off`.

    The first call on a machine compiles them, which takes seconds and is announced."""
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no"):
        return None
    return _imported(module, title)


def kernel(*arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for arguments of these types: strings in numba's notation, or
    what `named` returns. Without types it can only be called by other kernels.

    Results are those of numpy to the last bit: operations are neither reordered nor
    fused. Kernels must not allocate."""
    import numba  # here, not above: takes 0.4 s

    config: Any = numba.config
    options = {
        "cache": bool(arguments and config.CACHE_DIR),
        "error_model": "numpy",
        "fastmath": False,
        "forceinline": not arguments,
        # who allocates nothing need not count references, a third of the time
        "_nrt": False,
    }
    njit: Any = numba.njit
    if not arguments:
        return njit(**options)
    return njit(tuple(_type(argument) for argument in arguments), **options)


def named(tuple_class: Any, **fields: str) -> Any:
    """The type of a named tuple whose fields have these types."""
    from numba.core.types import NamedTuple  # as above

    types = [_type(fields[name]) for name in tuple_class._fields]
    return NamedTuple(types, tuple_class)


def _type(notation: Any) -> Any:
    from numba.core.sigutils import normalize_signature  # as above

    if not isinstance(notation, str):
        return notation
    arguments, _ = normalize_signature(f"({notation},)")
    return arguments[0]


@cache
def _imported(module: str, title: str) -> ModuleType | None:
    try:
        import numba  # as above
    except ImportError:
        return None
    try:
        with _kept(numba.config, _folder(module, numba.__version__), title):
            return importlib.import_module(module)
    # whatever it is: a run must not end for want of what it can do without
    except Exception as error:
        warnings.warn(
            f"{title} runs in numpy alone, its kernels do not compile: {error}",
            stacklevel=3,
        )
        return None


@contextmanager
def _kept(config: Any, folder: Path, title: str) -> Iterator[None]:
    """Let numba keep what it compiles inside this context in a folder, if that can be
    written; announce it if there is something to compile."""
    before = config.CACHE_DIR
    is_kept = _is_writable(folder)
    if not any(folder.rglob("*.nbi")):
        where = f"kept in {folder}" if is_kept else f"not kept: cannot write {folder}"
        announce(f"compiling {title} to machine code, a few seconds: {where}")
    config.CACHE_DIR = str(folder) if is_kept else ""
    try:
        yield
    finally:
        config.CACHE_DIR = before


def _folder(module: str, version: str) -> Path:
    """Where the kernels of a module are kept: another folder for every state of the
    Python files beside it, which their constants come from."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    digest = hashlib.sha256(f"{version} {platform.python_version()}".encode())
    for path in sorted(Path(spec.origin).parent.glob("*.py")):
        digest.update(path.read_bytes())
    named = os.environ.get("NUMBA_CACHE_DIR")
    parent = Path(named) if named else cache_folder()
    return parent / "kernels" / digest.hexdigest()[:16]


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
