"""Objects out of git's store, through `git cat-file --batch`: one process for any number of objects.

Requests are sent a window ahead of the answers, so that neither side waits for the other and no pipe fills up.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from builder import process
from builder.errors import SourceError

_WINDOW = 256
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class GitObject:
    """`oid` is 40 hex digits; `kind` is blob, tree, commit or tag; `data` is the content."""

    oid: str
    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class BlobStream:
    """A blob whose content comes in chunks of at most 1 MiB. It must be read to its end before the next one is asked for."""

    oid: str
    size: int
    chunks: Iterator[bytes]


_ELSEWHERE = frozenset(
    """GIT_DIR GIT_WORK_TREE GIT_COMMON_DIR GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_NAMESPACE GIT_PREFIX
    GIT_GRAFT_FILE GIT_SHALLOW_FILE GIT_REPLACE_REF_BASE""".split()  # noqa: SIM905 - a list is eleven lines
)
"""Git sets these for its hooks: they would choose another repository than the directory that was asked for."""


def git_environment() -> dict[str, str]:
    """What every git started here sees: the directory alone says which repository it is, no locks for looking, no replaced objects
    (they would falsify a commit), plain English.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


class ObjectReader:
    """One `git cat-file --batch`. For one thread at a time."""

    def __init__(self, git_dir: Path) -> None:
        self._git_dir = git_dir
        self._process = process.start(["git", "--git-dir", str(git_dir), "cat-file", "--batch"], env=git_environment())
        self._stdin = cast(IO[bytes], self._process.stdin)
        self._stdout = cast(IO[bytes], self._process.stdout)

    def __enter__(self) -> ObjectReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for stream in (self._stdin, self._stdout, self._process.stderr):
            if stream:
                with suppress(BrokenPipeError):
                    stream.close()
        self._process.wait()

    def find(self, name: str) -> GitObject | None:
        """The object that git finds under a name in any of its spellings; None when there is none.

        Raises SourceError when the name is ambiguous.
        """
        self._send([name.encode("utf-8", "surrogateescape")])
        head = self._head()
        if len(head) == 3:
            return GitObject(head[0].decode(), head[1].decode(), b"".join(self._content(int(head[2]))))
        if head[-1:] == [b"ambiguous"]:
            raise SourceError(f"{name!r} is ambiguous in {self._git_dir}", "write more of its digits")
        return None

    def objects(self, oids: Iterable[str]) -> Iterator[GitObject]:
        """Whole objects, in the order asked for. Raises SourceError naming the first that is missing."""
        for oid, kind, size in self._answers(oids):
            yield GitObject(oid, kind, b"".join(self._content(size)))

    def blobs(self, oids: Iterable[str]) -> Iterator[BlobStream]:
        """Blobs in the order asked for, of any size in constant memory."""
        for oid, kind, size in self._answers(oids):
            if kind != "blob":
                raise SourceError(f"object {oid} in {self._git_dir} is a {kind}, not a blob")
            yield BlobStream(oid, size, self._content(size))

    def _answers(self, oids: Iterable[str]) -> Iterator[tuple[str, str, int]]:
        rest, waiting = iter(oids), deque[str]()
        while True:
            if len(waiting) < _WINDOW // 2:
                more = list(islice(rest, _WINDOW - len(waiting)))
                self._send([oid.encode() for oid in more])
                waiting.extend(more)
            if not waiting:
                return
            oid, head = waiting.popleft(), self._head()
            if len(head) != 3:
                raise SourceError(f"object {oid} is missing from {self._git_dir}", "fetch it (`git fetch`), or run `git fsck`")
            yield oid, head[1].decode(), int(head[2])

    def _send(self, names: list[bytes]) -> None:
        if any(b"\n" in name for name in names):
            raise SourceError(f"not a revision: {names[0]!r}")
        try:
            self._stdin.write(b"".join(name + b"\n" for name in names))
            self._stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise self._ended() from error

    def _head(self) -> list[bytes]:
        line = self._stdout.readline()
        if not line.endswith(b"\n"):
            raise self._ended()
        head = line[:-1].rsplit(b" ", 2)
        return head if len(head) == 3 and head[2].isdigit() else head[-1:]

    def _content(self, size: int) -> Iterator[bytes]:
        left = size
        while left:
            chunk = self._stdout.read(min(left, _CHUNK))
            if not chunk:
                raise self._ended()
            left -= len(chunk)
            yield chunk
        if self._stdout.read(1) != b"\n":
            raise self._ended()

    def _ended(self) -> SourceError:
        with suppress(BrokenPipeError):  # what was not sent yet goes the same way
            self._stdin.close()
        said = self._process.stderr.read().decode("utf-8", "replace").strip() if self._process.stderr else ""
        return SourceError(f"git stopped reading objects of {self._git_dir}: {said or 'it ended early'}")


class ReaderPool:
    """Readers of one repository, made when needed, each used by one thread at a time."""

    def __init__(self, git_dir: Path) -> None:
        self._git_dir = git_dir
        self._idle: list[ObjectReader] = []
        self._lock = threading.Lock()

    def warm(self) -> None:
        """Starts the first reader, which then gets ready while the caller does something else."""
        self._idle.append(ObjectReader(self._git_dir))

    @contextmanager
    def reader(self) -> Iterator[ObjectReader]:
        with self._lock:
            reader = self._idle.pop() if self._idle else None
        reader = reader or ObjectReader(self._git_dir)
        try:
            yield reader
        except BaseException:
            reader.close()  # it may stand in the middle of an object
            raise
        with self._lock:
            self._idle.append(reader)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()
