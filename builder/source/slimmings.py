"""What `slim-repo` wrote down, as far as this clone has it: below `runs/` in `refs/builder/commit-map`."""

from __future__ import annotations

from collections.abc import Iterator

from builder.source.old_names import REF
from builder.source.repository import Git


class GitRecords:
    """The files of each slimming."""

    def __init__(self, git: Git) -> None:
        self._git = git

    def runs(self) -> Iterator[str]:
        """None where the clone does not have the ref."""
        yield from self._git.run("ls-tree", "--name-only", f"{REF}:runs", check=False).text.split()

    def read(self, run: str, name: str) -> bytes:
        """One file. Raises ProcessError when it is not there."""
        return self._git.run("cat-file", "blob", f"{REF}:runs/{run}/{name}").stdout
