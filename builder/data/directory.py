"""The data root in a directory: an object is a file, its key the path.

What is written is written aside in `.tmp`, flushed to disk, and renamed or linked to its place. What is written with `new` is read-only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from builder.data.interface import Found
from builder.data.keys import check_key, check_prefix, is_key
from builder.data.local_files import copy_verified, local_source, local_target
from builder.errors import DataError
from builder.own_folder import make_own_folder

_ASIDE = ".tmp"
_STALE = 24 * 3600  # seconds
_TRIES = 10
_HINTS = {
    errno.EACCES: "change its owner or its rights, or set [data] root",
    errno.EPERM: "its file system must know hard links; set [data] root to another place",
    errno.EOPNOTSUPP: "its file system must know hard links; set [data] root to another place",
    errno.EROFS: "the disk is mounted read-only; set [data] root to another place",
    errno.ENOSPC: "the disk is full: free some space, or set [data] root to another place",
    errno.EDQUOT: "your quota is used up: free some space, or set [data] root to another place",
}


class DirectoryObjects:
    """A directory, which is made with the first object. Its file system must know hard links: `new` rests on them."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.normpath(root))
        self._ready = False

    @property
    def name(self) -> str:
        return str(self.root)

    def url(self, key: str) -> str:
        return str(self._path(key))

    # reading

    def get(self, key: str) -> bytes | None:
        with self._translated(key, "read"):
            try:
                return self._path(key).read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def find(self, key: str) -> Found | None:
        path = self._path(key)
        with self._translated(key, "read"):
            try:
                seen = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return Found(key, seen.st_size, seen.st_mtime) if stat.S_ISREG(seen.st_mode) else None

    def fetch_file(self, key: str, path: Path, sha256: str) -> bool:
        with contextlib.ExitStack() as stack:
            with self._translated(key, "read"):
                try:
                    source = stack.enter_context(self._path(key).open("rb"))
                except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                    return False
            copy_verified(source, stack.enter_context(local_target(path)), sha256, self.url(key))
        return True

    def list(self, prefix: str = "") -> Iterator[Found]:
        folder, _, start = check_prefix(prefix).rpartition("/")
        with self._translated(prefix, "listed"):
            yield from self._below(folder, start)

    def folders(self, prefix: str = "") -> Iterator[str]:
        with self._translated(prefix, "listed"):
            entries = self._entries(check_prefix(prefix))
            yield from (entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and is_key(prefix + entry.name))

    def _below(self, folder: str, start: str = "") -> Iterator[Found]:
        for entry in self._entries(folder):
            key = f"{folder}/{entry.name}" if folder else entry.name
            if not entry.name.startswith(start) or not is_key(key):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._below(key)
            else:
                with contextlib.suppress(FileNotFoundError):  # taken away meanwhile
                    seen = entry.stat()
                    yield Found(key, seen.st_size, seen.st_mtime)

    def _entries(self, folder: str) -> Sequence[os.DirEntry[str]]:
        """What is in a directory of the root; nothing when there is none."""
        try:
            with os.scandir(self.root / folder) as found:
                return list(found)
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            if self.root.is_dir():
                return []
            raise

    # writing

    def put(self, key: str, data: bytes, *, new: bool = False) -> bool:
        return self._write(key, lambda file: file.write(data), new)

    def put_file(self, key: str, path: Path, sha256: str, *, new: bool = False) -> bool:
        if new and self._path(key).exists():
            return False
        with local_source(path) as source:
            return self._write(key, lambda file: copy_verified(source, file, sha256, str(path)), new)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self._path(key)
            with self._translated(key, "deleted"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
                self._prune(path.parent)

    def _prune(self, directory: Path) -> None:
        """Takes away directories that hold nothing any more."""
        with contextlib.suppress(OSError):
            while directory != self.root:
                directory.rmdir()
                directory = directory.parent

    def _write(self, key: str, fill: Callable[[BinaryIO], object], new: bool) -> bool:
        path = self._path(key)
        with self._translated(key, "written"):
            self._prepare()
            aside = self.root / _ASIDE / os.urandom(16).hex()
            try:
                # the rights are for those who come later: this handle may write all the same
                with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444 if new else 0o666), "wb") as file:
                    fill(file)
                    file.flush()
                    os.fsync(file.fileno())
                return _place(aside, path, new)
            finally:
                aside.unlink(missing_ok=True)

    def _prepare(self) -> None:
        if not self._ready:
            make_own_folder(self.root)
            (self.root / _ASIDE).mkdir(exist_ok=True)
            _remove_stale(self.root / _ASIDE)
            self._ready = True

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    @contextlib.contextmanager
    def _translated(self, key: str, done: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            text = f"{self.root / key} cannot be {done}: {error.strerror or error}"
            raise DataError(text, _HINTS.get(error.errno or 0, "look at [data] root in the settings")) from error


def _place(aside: Path, path: Path, new: bool) -> bool:
    """Gives the file its name; False when `new` and the name is taken. Whoever deletes at the same time may take its folder away."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return _name(aside, path, new)
    path.parent.mkdir(parents=True, exist_ok=True)
    return _name(aside, path, new)


def _name(aside: Path, path: Path, new: bool) -> bool:
    if not new:
        aside.replace(path)
        return True
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    return True


def _remove_stale(aside: Path) -> None:
    """What writers that were killed left behind. A day old: nobody writes it any more."""
    for path in aside.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - _STALE:
                path.unlink()
