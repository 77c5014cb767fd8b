"""Names that commits had before `builder slim-repo` gave them new ones: `refs/builder/commit-map`, whose `commit-map` has lines `old new`.

A clone does not bring that ref, so it is fetched when a name is not known otherwise; then it is there, and costs nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path

from builder import process
from builder.errors import OldNameError, ProcessError
from builder.files import write_whole
from builder.source.objects import git_environment

REF = "refs/builder/commit-map"
FILE = "commit-map"
SPELLED = re.compile(r"([0-9a-f]{7,40})((?:[~^].*)?)\Z", re.DOTALL)
"""An old name, whole or its first digits, and where one goes from there: `1234abc~2`."""
SHORT = re.compile(r"[0-9a-f]{4,6}(?:[~^].*)?\Z", re.DOTALL)
"""Too few digits for an old name, though git may know a commit by as many."""

_NOBODY = "0" * 40
"""What stands for the new name of a commit that was dropped (git-filter-repo's own maps have that)."""
_ASKED = "builder-commit-map"
_AGAIN = 600.0  # seconds until remotes that had nothing new are asked again
_PATIENCE = 60.0  # seconds
_FETCH = ["-c", "maintenance.auto=false", "-c", "gc.auto=0", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head"]
_SHOWN = 3
_LIKE = 4  # digits that a name must share with another to be taken for it

Ask = Callable[..., process.Completed]
Read = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class Renamed:
    """An old name and the new one, 40 digits each."""

    old: str
    new: str


class OldNames:
    """The map of one clone. `ask` runs git there: `ask("rev-parse", ..., check=False)`; `read` a file, starting nothing."""

    def __init__(self, git_dir: Path, ask: Ask, read: Read) -> None:
        self._git_dir, self._ask, self._read = git_dir, ask, read
        self._lines: bytes | None = None
        self.unreachable = ""
        """Why a remote could not be asked; empty when all answered."""

    def find(self, digits: str, *, fetch: bool) -> Renamed | None:
        """The commit whose old name begins so. Raises OldNameError when there are several, or the commit has no new name.

        `fetch`: whether remotes may be asked for what this clone does not know.
        """
        found = self._look_up(digits) or (self._look_up(digits) if fetch and self._refresh() else [])
        if len(found) > 1:
            listed = ", ".join(f"{each.old[:12]} (now {each.new[:12]})" for each in found[:_SHOWN])
            text = f"{digits} is ambiguous: it may be any of {len(found)} old commits: {listed}"
            raise OldNameError(text, "write more of its digits")
        if found and found[0].new == _NOBODY:
            text = f"{found[0].old[:12]} has no new name: it was dropped when the history was rewritten"
            raise OldNameError(text, "the bundle of the original history has it")
        return found[0] if found else None

    def new_name(self, sha: str) -> str:
        """What the commit of these 40 digits is called now, as far as this clone knows; empty when nothing says so."""
        found = b"\n" + self._map()
        at = found.find(f"\n{sha} ".encode()) + 42
        new = found[at : at + 40].decode("ascii", "replace") if at > 41 else ""
        return "" if new == _NOBODY else new

    def near(self, digits: str, names: Iterable[str] = ()) -> list[str]:
        """Old and other names that somebody who mistyped may have meant, the most alike first."""
        known = dict.fromkeys([*(each.old for each in self._all()), *names])
        ranked = ((_unlike(digits, name), name) for name in known)
        limit = max(1, len(digits) // 4)
        return [name for unlike, name in nsmallest(_SHOWN, ranked) if unlike[0] <= limit or -unlike[1] >= _LIKE]

    def _look_up(self, digits: str) -> list[Renamed]:
        pattern = rb"^(%b[0-9a-f]{%d}) ([0-9a-f]{40})$" % (digits.encode(), 40 - len(digits))
        return [Renamed(old.decode(), new.decode()) for old, new in re.findall(pattern, self._map(), re.MULTILINE)]

    def _all(self) -> Iterator[Renamed]:
        for old, new in re.findall(rb"^([0-9a-f]{40}) ([0-9a-f]{40})$", self._map(), re.MULTILINE):
            yield Renamed(old.decode(), new.decode())

    def _map(self) -> bytes:
        if self._lines is None:
            self._lines = self._read(f"{REF}:{FILE}") or b""
        return self._lines

    def _refresh(self) -> bool:
        """Asks the remotes for the map, unless they were asked a moment ago; whether it may have changed."""
        remotes = self._remotes()
        asked = "\n".join(url for _, url in remotes)
        if not remotes or self._asked_lately(asked):
            return False
        before = self._id()
        for name, _ in remotes:
            if self._fetch(name) and self._id() != before:
                self._lines = None
                return True
        if not self.unreachable:
            with suppress(OSError):
                write_whole(self._git_dir / _ASKED, asked.encode())
        return False

    def _fetch(self, remote: str) -> bool:
        argv = [*_FETCH, "--recurse-submodules=no", remote, f"+{REF}:{REF}"]
        try:
            done = process.run(["git", "--git-dir", str(self._git_dir), *argv], env=git_environment(), check=False, timeout=_PATIENCE)
            said = done.stderr.decode("utf-8", "replace").strip()
        except ProcessError as error:
            self.unreachable = f"{remote}: {error.stderr}"
            return False
        if done.returncode and REF not in said:  # "couldn't find remote ref" is an answer, too
            self.unreachable = f"{remote}: {said.splitlines()[-1].removeprefix('fatal: ') if said else 'git does not say why'}"
        return done.returncode == 0

    def _remotes(self) -> Sequence[tuple[str, str]]:
        """Name and URL; origin first."""
        lines = self._ask("config", "--get-regexp", r"^remote\..*\.url$", check=False).text.splitlines()
        pairs = (line.removeprefix("remote.").split(" ", 1) for line in lines if " " in line)
        found = {key.removesuffix(".url"): url for key, url in pairs}
        return sorted(found.items(), key=lambda item: item[0] != "origin")

    def _asked_lately(self, asked: str) -> bool:
        path = self._git_dir / _ASKED
        try:
            return path.read_bytes() == asked.encode() and 0 <= time.time() - path.stat().st_mtime < _AGAIN
        except OSError:
            return False

    def _id(self) -> str:
        return self._ask("rev-parse", "--verify", "--quiet", REF, check=False).text.strip()


def _unlike(digits: str, name: str) -> tuple[int, int]:
    """How many of the digits differ, and (less than 0) how many at the beginning do not."""
    differ = [mine != other for mine, other in zip(digits, name, strict=False)]
    return sum(differ), -(differ.index(True) if True in differ else len(differ))
