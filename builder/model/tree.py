"""A commit and what its tree holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

FILE, EXECUTABLE, SYMLINK, SUBMODULE, DIRECTORY = 0o100644, 0o100755, 0o120000, 0o160000, 0o040000


@dataclass(frozen=True, slots=True)
class Commit:
    """`sha`, `tree` and `parents` are 40 hex digits; `date` is the committer's, in seconds since 1970 UTC."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    date: int
    author: str
    subject: str


class Entry(NamedTuple):
    """One file of a commit; a named tuple, as there may be 100,000 of them.

    `path` is git's bytes, relative to the root; `mode` is FILE, EXECUTABLE or SYMLINK.
    `home` is empty for the repository itself, else the git directory of the submodule that holds `oid`.
    """

    path: bytes
    mode: int
    oid: str
    home: bytes = b""
