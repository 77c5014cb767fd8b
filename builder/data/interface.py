"""The port to the data root: one directory or `s3://bucket/prefix`, the same verbs for both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Found:
    """An object that is there: its key, its size in bytes, and when it was written.

    That is in seconds since 1970 by the root's clock, which S3 tells in whole ones.
    """

    key: str
    size: int
    modified: float


class Objects(Protocol):
    """Objects by key, such as `ledger/run-1/start.json`. Any number of threads and processes may use one root at once.

    An object is there whole or not at all. What is written with `new` is never changed: whoever comes second leaves it as it is.
    Raises DataError, which names the root and the key; AuthError where credentials are refused or missing; keys are checked as
    `keys.check_key` says.
    """

    @property
    def name(self) -> str:
        """The root as a person would write it."""

    def get(self, key: str) -> bytes | None:
        """The bytes; None when there is no such object."""

    def find(self, key: str) -> Found | None:
        """What is known of the object; None when there is no such one."""

    def put(self, key: str, data: bytes, *, new: bool = False) -> bool:
        """Writes the object whole. With `new` only when none is there; False when one was."""

    def put_file(self, key: str, path: Path, sha256: str, *, new: bool = False) -> bool:
        """As `put`, of a file of any size. Raises IntegrityError, and leaves nothing, when its bytes do not hash to `sha256` (64 hex)."""

    def fetch_file(self, key: str, path: Path, sha256: str) -> bool:
        """Writes the object to `path`, whole or not at all; a file that is there is replaced. False when there is no such object.

        Raises IntegrityError when its bytes do not hash to `sha256` (64 hex).
        """

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Every object whose key begins with `prefix` (which need not end with a slash), in no particular order.

        Whatever has no proper key is left out.
        """

    def folders(self, prefix: str = "") -> Iterator[str]:
        """The first part, without slashes, of what comes after `prefix` (empty, or with a slash at its end) in keys that go on after it.

        Far fewer than the objects, where these are many. One that holds no objects may be among them.
        """

    def delete(self, keys: Iterable[str]) -> None:
        """Takes the objects away. One that is not there is fine."""

    def url(self, key: str) -> str:
        """Where a person finds it: a path, or `s3://...`."""
