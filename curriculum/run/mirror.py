"""Runs whose folder is at a URL: they are trained in the cache folder of this machine,
and what is new there is copied to the URL while they are.

- The folder at the URL is the one that counts. It can be resumed on any machine; one
  that has the newest state already, by the token in `.writer.json`, copies nothing.
- One process at a time writes to it. It counts up in `.writer.json`; another one takes
  over where that is no longer counted up, and then the first one writes no more.
- A checkpoint is one once its manifest is there, which is copied last and deleted
  first; a run is finished once its result is there, which is copied behind everything.
"""

import json
import os
import shutil
import socket
import sys
import threading
import time
import uuid
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any

from curriculum import storage
from curriculum.activity import Aborted, Interrupted, is_stopping
from curriculum.files import cache_folder, is_url, write_text
from curriculum.run.contents import (
    CHECKPOINT,
    CHECKPOINTS,
    MANIFEST,
    RECORDS,
    RESULT,
    RESUMED_RECORDS,
    SETTINGS,
)
from curriculum.run.lock import InUse, Lock
from curriculum.storage import Remote

WRITER = ".writer.json"  # at the URL: who writes to it
ORIGIN = ".origin.json"  # on this machine: what the folder is a copy of
# files of searches and comparisons which say that what they tell of is there
LAST = (RESULT, "search.json", "search.md", "table.md")
KEPT_HERE = (".lock",)  # files that belong to one machine
PERIOD = 15.0  # seconds between copies, and between counts of a writer
FIRST = 1.0  # seconds to the first copy
LOOK = 0.2  # seconds between looks whether to stop
PATIENCE = 4  # periods after which a writer that does not count is gone

State = dict[str, tuple[int, int]]  # path -> size and time of change


def state_of(folder: Path) -> State:
    """The size and the time of change of every file of a run that can be copied."""
    found: State = {}
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        is_draft = any(part.startswith(".") for part in relative.parts)
        if is_draft or path.name in KEPT_HERE:
            continue
        try:
            status = path.stat()
            is_file = path.is_file()
        except FileNotFoundError:
            continue
        if is_file:
            found[relative.as_posix()] = (status.st_size, status.st_mtime_ns)
    return found


# --- folders to write to ---


def made(remote: Remote) -> Path | None:
    """Claim the folder of a new run at a URL; returns its folder on this machine, None
    if the name is taken."""
    if remote.read(WRITER) is not None or remote.listing():
        return None
    token = uuid.uuid4().hex
    if not remote.create(WRITER, _claim(token, 0)):
        return None
    return _workspace(remote, token)


def opened(remote: Remote) -> Path:
    """The folder on this machine for a run that is at a URL; what is there is in it as
    soon as it is locked."""
    writer = _writer(remote)
    folder = _workspace_of(remote, str(writer.get("token")))
    if _read(folder / ORIGIN).get("is_whole"):
        return folder
    if all(_is_hidden(name) for name in remote.listing()):
        raise ValueError(f"there is no run at {remote}; check the URL")
    return _workspace(remote, uuid.uuid4().hex)


def lock(folder: Path) -> Lock:
    """Lock a folder; one that is a copy is copied to its URL until it is released.

    Raises InUse, which says who holds it."""
    origin = _read(folder / ORIGIN)
    return MirroredLock(folder, origin) if origin else Lock(folder)


def shown(folder: Path) -> str:
    """The URL of a run's folder, if it is a copy, otherwise its path."""
    return str(_read(folder / ORIGIN).get("url", folder))


def _workspace_of(remote: Remote, token: str) -> Path:
    return cache_folder() / "runs" / token / remote.parent.name / remote.name


def _workspace(remote: Remote, token: str) -> Path:
    """Make a new folder on this machine for what is at a URL."""
    folder = _workspace_of(remote, token)
    folder.mkdir(parents=True)
    origin = {"url": str(remote), "token": token, "is_whole": False}
    write_text(folder / ORIGIN, json.dumps(origin))
    return folder


def _pull(remote: Remote, folder: Path) -> None:
    """Copy everything from a URL to a new folder, except for checkpoints that were not
    copied there to their end."""
    listing = remote.listing()
    for name in listing:
        if not _is_hidden(name) and not _is_incomplete(name, listing):
            remote.get(name, folder / name)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _is_incomplete(name: str, listing: Collection[str]) -> bool:
    """Whether a file belongs to a checkpoint that was not copied to its end."""
    before, is_one, after = name.rpartition(f"{CHECKPOINTS}/")
    step, _, file = after.partition("/")
    if not is_one or not file or not CHECKPOINT.fullmatch(step):
        return False
    return f"{before}{CHECKPOINTS}/{step}/{MANIFEST}" not in listing


# --- who writes ---


def _claim(token: str, count: int, is_open: bool = True) -> bytes:
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    name = f"process {os.getpid()} on {socket.gethostname()}, last seen {now}"
    content = {"token": token, "count": count, "is_open": is_open, "name": name}
    return json.dumps(content).encode()


def _writer(remote: Remote) -> dict[str, Any]:
    """Who writes to a URL, or did last; empty if nobody ever did."""
    return _as_object(remote.read(WRITER) or b"{}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return _as_object(path.read_bytes())
    except OSError:
        return {}


def _as_object(text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


class MirroredLock(Lock):
    """The lock of a folder that is a copy of one at a URL: as long as it is held, what
    is new is copied there, and nobody else writes to it.

    `release` copies what is left; ValueError says why that was not possible."""

    def __init__(self, folder: Path, origin: dict[str, Any]):
        super().__init__(folder)
        self.remote = Remote(origin["url"])
        self.token = str(origin["token"])
        self.count = 0
        self.problem = ""  # why nothing more is copied
        self.has_warned = False
        self.ending = threading.Event()
        self.threads: list[threading.Thread] = []
        try:
            self.known = self._take(origin)
        except BaseException:
            super().release()
            if not origin["is_whole"]:
                shutil.rmtree(folder)
            raise
        for work in (self._keep_claim, self._keep_copying):
            thread = threading.Thread(target=work, name="mirror", daemon=True)
            thread.start()
            self.threads.append(thread)
        print(
            f"{self.remote} is a copy of {folder}, renewed every {PERIOD:.0f} s",
            file=sys.stderr,
        )

    # --- claiming ---

    def _take(self, origin: dict[str, Any]) -> State:
        """Claim the URL, and have what is there; returns what was copied already."""
        writer = _writer(self.remote)
        if writer.get("token") == self.token:
            # nobody else has written to it: this folder has the newest state
            self._count()
            listing = self.remote.listing()
            known = {name: (-1, -1) for name in listing if not _is_hidden(name)}
            self._mark(origin)
            return known
        self._wait_until_free(writer)
        self._count()
        time.sleep(min(PERIOD, FIRST))  # two that take over: the last one has it
        self._require_own()
        _pull(self.remote, self.folder)
        known = state_of(self.folder)
        self._mark(origin)
        return known

    def _mark(self, origin: dict[str, Any]) -> None:
        """Note that everything is here."""
        whole = {**origin, "is_whole": True}
        write_text(self.folder / ORIGIN, json.dumps(whole))

    def _wait_until_free(self, writer: dict[str, Any]) -> None:
        """Wait for a writer that has not ended: one that is gone counts no more."""
        if not writer.get("is_open"):
            return
        name = writer.get("name", "another process")
        print(
            f"{self.remote} was not closed by {name}; waiting {PATIENCE * PERIOD:.0f} "
            "s to see whether it is still there",
            file=sys.stderr,
        )
        ending = time.monotonic() + PATIENCE * PERIOD
        while time.monotonic() < ending:
            if is_stopping():
                raise Interrupted
            time.sleep(LOOK)
        now = _writer(self.remote)
        if now.get("is_open") and now != writer:
            raise InUse(
                f"{self.remote} is in use by {now.get('name')}; wait until it is done, "
                "or stop it"
            )

    def _count(self, is_open: bool = True) -> None:
        self.count += 1
        self.remote.write(WRITER, _claim(self.token, self.count, is_open))

    def _require_own(self) -> None:
        writer = _writer(self.remote)
        if writer.get("token") != self.token:
            name = writer.get("name", "another process")
            raise InUse(f"{self.remote} was taken over by {name}")

    # --- copying ---

    def _keep_claim(self) -> None:
        while not self.ending.wait(PERIOD):
            try:
                self._require_own()
                self._count()
            except InUse as problem:
                self._give_up(problem)
                return
            except ValueError as problem:
                self._warn(problem)

    def _keep_copying(self) -> None:
        pause = min(PERIOD, FIRST)
        while not self.problem and not self.ending.wait(pause):
            pause = PERIOD
            try:
                self.push()
            except (ValueError, OSError) as problem:
                self._warn(problem)

    def _give_up(self, problem: ValueError) -> None:
        self.problem = f"{problem}; nothing more is copied there from {self.folder}"
        print(self.problem, file=sys.stderr)

    def _warn(self, problem: Exception) -> None:
        if not self.has_warned:
            self.has_warned = True
            print(f"{problem}; it is tried again until the end", file=sys.stderr)

    def push(self) -> None:
        """Copy what is new since the last time, in the order in which another machine
        may find it cut off."""
        # first what is copied last: whatever it tells of is among the other files then
        last = {
            name: (self.folder / name).read_bytes()
            for name in state_of(self.folder)
            if _rank(name) == _rank(RESULT)
        }
        present = state_of(self.folder)
        for name in sorted(self.known.keys() - present.keys(), key=_rank, reverse=True):
            self.remote.remove(name)
            del self.known[name]
        for name in sorted(present, key=_rank):
            if self.problem:
                return
            is_too_new = _rank(name) == _rank(RESULT) and name not in last
            if is_too_new or self.known.get(name) == present[name]:
                continue
            self.known[name] = (-1, -1)  # until all of it is there
            try:
                self._put(name, last.get(name))
            except FileNotFoundError:  # an older checkpoint that was just deleted
                continue
            self.known[name] = present[name]

    def _put(self, name: str, content: bytes | None) -> None:
        """Copy a file; FileNotFoundError if it is gone."""
        path = self.folder / name
        if CHECKPOINTS in name.split("/"):  # large, and never written to again
            path.stat()
            self.remote.put(name, path)
        else:
            data = path.read_bytes() if content is None else content
            self.remote.write(name, data)

    # --- ending ---

    def release(self) -> None:
        """Copy what is left, and let others have the URL and the folder."""
        self._end(is_copied=True)

    def _end(self, is_copied: bool) -> None:
        if self.ending.is_set():
            return
        self.ending.set()
        for thread in self.threads:
            thread.join()
        try:
            if self.problem:
                raise ValueError(self.problem)
            if is_copied:
                self._finish()
        finally:
            super().release()

    def _finish(self) -> None:
        try:
            self._require_own()
            self.push()
            if self.known:
                self._count(is_open=False)
            else:  # a run that was discarded
                self.remote.remove(WRITER)
        except (ValueError, OSError) as problem:
            raise ValueError(
                f"{problem}. Not everything of {self.folder} could be copied; the same "
                f"command, or --resume {self.remote}, goes on from there on this "
                "machine"
            ) from None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.release()
            return
        try:
            self._end(is_copied=not isinstance(error, Aborted))
        except ValueError as problem:  # the first error counts
            print(problem, file=sys.stderr)


def _rank(name: str) -> int:
    """When a file is copied: records and policies, then checkpoints, their manifests,
    and results."""
    *folders, file = name.split("/")
    if CHECKPOINTS in folders:
        return 2 if file == MANIFEST else 1
    return 3 if file in LAST else 0


# --- copies to read ---


def readable(name: str) -> Path:
    """The folder of a run, or a policy file, that a user names, to be read: a URL is
    copied to the cache folder, without older checkpoints."""
    if not is_url(name):
        return Path(name)
    remote = Remote(name)
    listing = remote.listing()
    steps = [
        (tuple(int(part or 0) for part in match.groups()), match.group())
        for path in listing
        if path.startswith(f"{CHECKPOINTS}/") and path.endswith(f"/{MANIFEST}")
        if (match := CHECKPOINT.fullmatch(path.split("/")[1]))
    ]
    newest = f"{CHECKPOINTS}/{max(steps)[1]}/" if steps else ""

    def is_wanted(path: str) -> bool:
        if path.startswith(f"{CHECKPOINTS}/"):
            return bool(newest) and path.startswith(newest)
        return not _is_hidden(path) and not path.startswith("superseded-")

    return storage.copied(remote, is_wanted)


def listed(name: str) -> Path:
    """The folder of runs that a user names, to be listed: of a URL, the settings,
    records and results of all runs below it are copied to the cache folder."""
    if not is_url(name):
        return Path(name)
    names = (SETTINGS, RECORDS, RESUMED_RECORDS, RESULT, WRITER)
    return storage.copied(Remote(name), lambda path: path.split("/")[-1] in names)


def looked_into(parent: Path | Remote, names: tuple[str, ...]) -> Path:
    """A folder on this machine with the files of these names of all that is below
    another one; no file, if there is nothing at a URL."""
    if isinstance(parent, Path):
        return parent
    if not parent.listing():
        return cache_folder() / "copies" / "nothing"
    return storage.copied(parent, lambda path: path.split("/")[-1] in names)


def is_written(folder: Path) -> bool:
    """Whether a process writes to the URL of which `listed` has copied a folder."""
    file = folder / WRITER
    if not _read(file).get("is_open"):
        return False
    return time.time() - file.stat().st_mtime < PATIENCE * PERIOD


def writable(parent: Path | Remote, name: str) -> Path:
    """The folder on this machine of a run below another folder, to be written to."""
    return parent / name if isinstance(parent, Path) else opened(parent / name)
