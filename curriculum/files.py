"""Files are written beside and renamed: a reader finds the old one or the new one."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The path of a draft, which replaces `path` at the end of the context.

    After an error, `path` is what it was and the draft is gone."""
    draft = path.with_name(f".draft-{path.name}")
    try:
        yield draft
        flush(draft)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as draft:
        draft.write_text(text)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all."""
    with replacing(path) as draft:
        draft.write_bytes(data)


def flush(path: Path) -> None:
    """Make sure that a file or folder has reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cache_folder() -> Path:
    """Where compiled code is kept: the folder that the environment variable
    CURRICULUM_CACHE names, or one of the user's cache folder."""
    named = os.environ.get("CURRICULUM_CACHE")
    if named:
        return Path(named)
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "planning-curriculum"
    parent = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(parent) / "planning-curriculum"


def is_url(name: str) -> bool:
    """Whether this is no path of this machine."""
    return bool(URL.match(name))


def local_path(name: str, what: str) -> Path:
    """The path of what is to be written; ValueError for a URL."""
    if is_url(name):
        raise ValueError(
            f"{what} {name}: only runs are written to URLs (--runs-dir); give a path "
            "of this machine"
        )
    return Path(name)


def folder_for(given: str, result: str, what: str) -> Path | None:
    """The folder that --out gives for a `what` such as an evaluation, whose file
    `result` is; None if it is empty.

    ValueError where something else is in its place."""
    if not given:
        return None
    out = local_path(given, "--out")
    is_free = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    if not is_free and not (out / result).is_file():
        raise ValueError(
            f"--out {out} exists and is no {what} (it has no {result}); give another "
            "folder"
        )
    return out
