"""Folders at URLs, such as s3://bucket/runs or file:///disk/runs, by fsspec, and copies
of them on this machine.

Credentials are those that the file system of a protocol finds: environment variables
and settings files, nothing of ours.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from curriculum.files import cache_folder, is_url, replacing, write_bytes

WHOLE = 8  # bytes in the name of a folder of the cache
MOST_LETTERS = 200  # of a reason
# Stores without folders: there, making one might make a bucket.
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "oci", "hf"}
MOMENTS = ("mtime", "LastModified", "last_modified", "updated", "created")


class File(NamedTuple):
    """A file at a URL."""

    size: int  # bytes
    version: str  # another one as soon as the content is another one
    changed: float | None  # seconds since 1970, where it is known


class Remote:
    """A folder at a URL. ValueError says why it cannot be used."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "Remote":
        return Remote(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> "Remote":
        """The folder that it is in."""
        return Remote(self.url.rpartition("/")[0])

    @cached_property
    def _place(self) -> tuple[Any, str]:
        """The file system, and the path in it."""
        import fsspec

        try:
            return fsspec.core.url_to_fs(self.url)
        except ImportError as error:
            reason = str(error).rstrip(".")
            raise ValueError(
                f"{self.url}: its protocol needs another package, to be installed by "
                f"pip: {reason}"
            ) from None
        except Exception as error:
            if not str(error).startswith("Protocol not known"):
                raise _unusable(self.url, error) from None
            protocol = self.url.partition(":")[0]
            raise ValueError(
                f"{self.url}: there is no file system {protocol}; choose one that "
                "fsspec has, such as file://, s3:// (s3fs), gs:// (gcsfs), abfs:// "
                "(adlfs) or sftp:// (paramiko)"
            ) from None

    @property
    def _files(self) -> Any:
        return self._place[0]

    def _path(self, name: str) -> str:
        return f"{self._place[1]}/{name}" if name else self._place[1]

    @property
    def _is_local(self) -> bool:
        return self._files.protocol[0] in ("file", "local")

    def listing(self) -> dict[str, File]:
        """All files below the folder, by path; the file itself, by "", if it is
        one."""
        with _using(self.url):
            self._files.invalidate_cache()
            found = self._files.find(self._place[1], detail=True)
            return {
                path[len(self._place[1]) :].strip("/"): self._described(info)
                for path, info in sorted(found.items())
                if info["type"] == "file"
            }

    def _described(self, info: Mapping[str, Any]) -> File:
        moments = [info[name] for name in MOMENTS if info.get(name) is not None]
        changed = _seconds(moments[0]) if moments else None
        marks = [info.get(name) for name in ("ETag", "etag", "md5Hash", "ino")]
        version = repr([info["size"], changed, *marks])
        return File(info["size"], version, changed)

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none."""
        with _using(self.url):
            try:
                return self._files.cat_file(self._path(name))
            except FileNotFoundError:
                return None

    def get(self, name: str, target: Path) -> None:
        """Copy a file to this machine, whole or not at all."""
        target.parent.mkdir(parents=True, exist_ok=True)
        # other processes may copy the same file
        draft = target.with_name(f".draft-{os.getpid()}-{target.name}")
        try:
            with _using(self.url):
                self._files.get_file(self._path(name), str(draft))
                draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)

    def write(self, name: str, data: bytes) -> None:
        """Write a file; a reader finds the old one or the new one, where the file
        system replaces files as a whole, as object stores and file:// do."""
        with _using(self.url):
            self._make_folder(name)
            if self._is_local:
                write_bytes(Path(self._path(name)), data)
            else:
                self._files.pipe_file(self._path(name), data)

    def put(self, name: str, source: Path) -> None:
        """Write a file as `write` does, with the content of one of this machine."""
        with _using(self.url):
            self._make_folder(name)
            if self._is_local:
                with replacing(Path(self._path(name))) as draft:
                    shutil.copyfile(source, draft)
            else:
                self._files.put_file(str(source), self._path(name))

    def create(self, name: str, data: bytes) -> bool:
        """Write a file that does not exist; false if it does."""
        with _using(self.url):
            self._make_folder(name)
            try:
                self._files.pipe_file(self._path(name), data, mode="create")
            except FileExistsError:
                return False
            return True

    def remove(self, name: str) -> None:
        """Delete a file, and its folder if it is empty."""
        with _using(self.url):
            path = self._path(name)
            with suppress(FileNotFoundError):
                self._files.rm_file(path)
            if self._has_folders:
                with suppress(OSError):  # it is not empty, or gone
                    self._files.rmdir(path.rpartition("/")[0])

    @property
    def _has_folders(self) -> bool:
        return self._files.protocol[0] not in OBJECT_STORES

    def _make_folder(self, name: str) -> None:
        if self._has_folders:
            folder = self._path(name).rpartition("/")[0]
            self._files.makedirs(folder, exist_ok=True)


def _seconds(moment: Any) -> float:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)


@contextmanager
def _using(url: str) -> Iterator[None]:
    """Turn whatever a file system raises into one sentence."""
    try:
        yield
    except ValueError:
        raise
    # every file system has errors of its own
    except Exception as error:
        raise _unusable(url, error) from None


def _unusable(url: str, error: Exception) -> ValueError:
    text = " ".join(str(error).split())[:MOST_LETTERS]
    reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return ValueError(
        f"{url} cannot be used ({reason}); check the URL, the credentials and the "
        "network"
    )


# --- what a user names ---


def folder_at(name: str) -> Path | Remote:
    """The folder that a user names by a path or a URL."""
    return Remote(name) if is_url(name) else Path(name)


# --- copies to read ---

_copies: dict[Path, str] = {}  # of this process: their URLs


def copied(remote: Remote, wanted: Callable[[str], bool]) -> Path:
    """Copy the files below a folder whose paths are wanted, or what is new of them, to
    the cache folder; returns the copy, which is for reading only.

    ValueError where there is no such folder."""
    listing = remote.listing()
    if not listing:
        raise ValueError(f"there is nothing at {remote}; check the URL")
    folder = cache_folder() / "copies" / _as_path(remote.url)
    versions = cache_folder() / "versions" / _as_path(remote.url)
    for name, file in listing.items():
        if not name:  # the file itself
            _bring(remote, name, file, folder, versions.with_name(versions.name + "@"))
        elif wanted(name):
            _bring(remote, name, file, folder / name, versions / f"{name}@")
    if folder.is_dir():
        _forget(folder, listing)
    _copies[folder] = remote.url
    return folder


def shown(path: Path) -> str:
    """The URL of what this process has copied, otherwise the path."""
    for folder, url in _copies.items():
        if path.is_relative_to(folder):
            below = path.relative_to(folder).parts
            return "/".join([url, *below])
    return str(path)


def _bring(remote: Remote, name: str, file: File, target: Path, version: Path) -> None:
    """Copy a file unless this version of it is here."""
    is_here = target.is_file() and target.stat().st_size == file.size
    if is_here and version.is_file() and version.read_text() == file.version:
        return
    version.unlink(missing_ok=True)
    remote.get(name, target)
    if file.changed is not None:
        os.utime(target, (file.changed, file.changed))
    version.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(version, file.version.encode())


def _forget(folder: Path, listing: Mapping[str, File]) -> None:
    """Delete copies of files that are no longer there."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in listing:
            path.unlink()


def _as_path(url: str) -> Path:
    """A path on this machine that says the URL."""
    parts = [quote(part, safe=" +=,@") for part in re.split("[:/]+", url) if part]
    return Path(*(part.replace("..", "%2E%2E") for part in parts))


def data_at(path: str) -> Path:
    """The folder of a data set that a user names: that of a URL is copied to the cache
    folder, once for each version of its files."""
    return _data_copy(path) if is_url(path) else Path(path)


@cache
def _data_copy(url: str) -> Path:
    """The same copy as long as the process lasts: it is mapped into memory."""
    remote = Remote(url)
    listing = remote.listing()
    if not listing:
        raise ValueError(f"there is no data set at {url}; check the URL")
    versions = {name: file.version for name, file in listing.items()}
    key = hashlib.sha256(repr([url, versions]).encode()).hexdigest()[: 2 * WHOLE]
    folder = cache_folder() / "data" / key / remote.name
    for name, file in listing.items():
        target = folder / name if name else folder
        if not target.is_file() or target.stat().st_size != file.size:
            remote.get(name, target)
    return folder
