"""Files that `slim-repo` took out of commits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from builder.model.path_names import shown
from builder.model.tree import FILE


@dataclass(frozen=True, slots=True)
class Removed:
    """A file that a commit had. `path` is relative to its root, what is no UTF-8 in it as lone surrogates; `sha256` has 64 hex digits.

    `mode` is FILE, EXECUTABLE or SYMLINK. `lfs`: it is the content that a pointer of Git LFS names; `pointer` is the sha256 of that, where
    it was taken out itself, and empty where the commit still has it.
    """

    path: str
    sha256: str
    size: int
    mode: int = FILE
    lfs: bool = False
    pointer: str = ""

    @property
    def shown(self) -> str:
        """The path as a line that can be printed."""
        return shown(self.path)


@dataclass(frozen=True, slots=True)
class Lost:
    """What a commit has no more, sorted by path. `was`: the name that it had before all slimmings.

    `objects`: LFS objects in the archive, with their sizes in bytes, that may be what pointers in the commit's tree name.
    """

    commit: str
    was: str
    files: tuple[Removed, ...] = ()
    objects: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return size_of(self.files)


def size_of(files: Iterable[Removed]) -> int:
    """In bytes."""
    return sum(file.size for file in files)
