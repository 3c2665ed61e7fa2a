"""Data sets that are being written: one process at a time writes each of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curriculum.data.manifest import Manifest
from curriculum.data.writer import Writer, draft_of, require_free
from curriculum.run.lock import Lock


@contextmanager
def writing(
    folder: Path, manifest: Manifest, origin: dict[str, Any] | None = None
) -> Iterator[Writer]:
    """A writer whose draft no other process writes."""
    require_free(folder, origin)
    draft = draft_of(folder)
    draft.mkdir(parents=True, exist_ok=True)
    with Lock(draft), Writer(folder, manifest, origin) as writer:
        yield writer
