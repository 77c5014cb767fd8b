"""From what a pod or Metaflow wrote to what the team's commands wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from builder.steps.markers import BEGINS, ENDS, OURS

Keep = Callable[[bytes], bytes]
"""From a line, with its newline if it has one, to what of it is kept; empty for nothing."""

_FIRST = b"Setting up task environment."
"""How Metaflow's log begins in a pod: a log that begins otherwise has lost its beginning, as nodes keep only the last megabytes."""

_MEANWHILE = rb"\[save_logs\] upload_|time=\"[^\"]*\" level=\w+ msg=.* argo=true|" + re.escape(OURS).encode()
"""What Metaflow, Argo and this tool may say while a command runs, or when it is killed."""

_CHATTER = re.compile(
    rb"(Setting up task environment|Downloading code package\.\.|Code package downloaded|Task (is starting|has started)"
    rb"|Task finished successfully|Foreach yields \d+ child steps)\.\n"
    rb"|" + _MEANWHILE
)
_OF_METAFLOW = re.compile(rb"\S+ \S+ \[[^/\]]+/([^/\]]+)/\S+ \(pid \d+\)\] (.*)", re.DOTALL)
"""`2024-05-01 08:00:00.123 [run/step/task (pid 7)] text`, with which Metaflow's local runner begins each line of a task."""


def filtered(pieces: Iterable[bytes], keep: Keep) -> Iterator[bytes]:
    """Line by line. A last line without an end is one, too."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from filter(None, (keep(line + b"\n") for line in lines))
    if rest and (kept := keep(rest)):
        yield kept


class BetweenMarkers:
    """Of the pod of a built-in flow's step: what the team's commands wrote, one try after the other."""

    def __init__(self) -> None:
        self._inside = False
        self._sure = False

    def __call__(self, line: bytes) -> bytes:
        text = line.rstrip(b"\n")
        if text == BEGINS.encode():
            self._inside = self._sure = True
            return b""
        if text.endswith(ENDS.encode()):
            inside, self._inside, self._sure = self._inside or not self._sure, False, True
            return text.removesuffix(ENDS.encode()) if inside else b""
        return line if self._is_ours(line) else b""

    def _is_ours(self, line: bytes) -> bool:
        """A log that does not begin as Metaflow's do has lost its beginning, and goes on in the middle of a command."""
        if self._sure:
            return self._inside and not re.match(_MEANWHILE, line)
        self._sure = line.startswith(_FIRST)
        return not _CHATTER.match(line)


def without_chatter(line: bytes) -> bytes:
    """Of the pod of a team's own step: all but what Metaflow and Argo say round it."""
    return b"" if _CHATTER.match(line) else line


class OfStep:
    """Of the log of Metaflow's local runner: what one step's tasks wrote."""

    def __init__(self, step: str, *, chatter: bool) -> None:
        self._step = step.encode()
        self._chatter = chatter

    def __call__(self, line: bytes) -> bytes:
        match = _OF_METAFLOW.match(line)
        if not match or match[1] != self._step:
            return b""
        return line if self._chatter else without_chatter(match[2])
