"""Which files of a tree `image.exclude` leaves out: as git decides it for a .gitignore in the repository's root."""

from __future__ import annotations

import re
from collections.abc import Sequence

from builder.model.globs import DIRECTORY, Glob, parse


class Excludes:
    """The patterns, compiled. The last one that matches decides; below an excluded directory nothing comes back.

    Paths are git's bytes, relative to the root. Raises ValueError on what is no pattern (settings are checked already).
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        globs = [parse(pattern) for pattern in patterns]
        self._keeps = [glob.keeps for glob in globs]
        self._names = _Last([(index, glob) for index, glob in enumerate(globs) if glob.by_name])
        self._paths = _Last([(index, glob) for index, glob in enumerate(globs) if not glob.by_name])
        self._directories: dict[bytes, bool] = {b"": False}

    def __bool__(self) -> bool:
        return bool(self._keeps)

    def file(self, path: bytes) -> bool:
        """Whether the file or symlink is left out."""
        parent, _, name = path.rpartition(b"/")
        return self.directory(parent) or self._says(path, name)

    def directory(self, path: bytes) -> bool:
        """Whether everything in the directory is left out, through its own name or that of one above it."""
        unknown = []
        while path not in self._directories:
            unknown.append(path)
            path = path.rpartition(b"/")[0]
        verdict = self._directories[path]
        for path in reversed(unknown):
            verdict = verdict or self._says(path + DIRECTORY, path.rpartition(b"/")[2] + DIRECTORY)
            self._directories[path] = verdict
        return verdict

    def _says(self, path: bytes, name: bytes) -> bool:
        last = max(self._names.match(name), self._paths.match(path))
        return last >= 0 and not self._keeps[last]


class _Last:
    """One regular expression for many patterns: the last pattern stands first, so that the first alternative to match is it."""

    def __init__(self, globs: Sequence[tuple[int, Glob]]) -> None:
        self._indexes = [index for index, _ in reversed(globs)]
        self._regex = re.compile(b"|".join(b"(" + glob.regex + b")" for _, glob in reversed(globs)), re.DOTALL)

    def match(self, text: bytes) -> int:
        """The index of the last pattern that matches, or -1."""
        found = self._regex.fullmatch(text) if self._indexes else None
        return -1 if found is None or found.lastindex is None else self._indexes[found.lastindex - 1]
