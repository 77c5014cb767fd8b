"""What is remembered between two runs: of every stage the hash of its inputs and what it found. One small file, written whole.

A stage whose inputs are the same is not done again. Inputs of a stage contain what the one before it made, so a changed plan or source
undoes whatever depends on it.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from repo_slim.errors import AskedError, SlimError
from repo_slim.files import remove, write_whole

NAME = "state.json"
_SCHEMA = 1
STAGES = ("mirrored", "planned", "archived", "rewritten", "verified", "recorded", "bundled", "published")
"""In their order. What each leaves is below the working directory, or in the archive."""


class State:
    """`state.json` in a working directory. `archive`: where what goes is kept, empty before the first plan."""

    def __init__(self, work: Path) -> None:
        self.path = work / NAME
        raw = self._read()
        self._stages: dict[str, dict[str, Any]] = raw.get("stages", {})
        self.archive = str(raw.get("archive", ""))

    @classmethod
    def begun_anew(cls, work: Path) -> State:
        """Without any stage, and with the archive of before, as far as that can be read."""
        try:
            archive = cls(work).archive
        except SlimError:
            archive = ""
        remove(work / NAME)
        state = cls(work)
        state.archive = archive
        state._write()
        return state

    def remember(self, archive: str) -> None:
        if archive != self.archive:
            self.archive = archive
            self._write()

    def result(self, stage: str, inputs: str) -> Any | None:
        """What the stage found, when it was done with exactly these inputs."""
        known = self._stages.get(stage)
        return known["result"] if known and known["inputs"] == inputs else None

    def last(self, stage: str) -> Any | None:
        """What the stage found, with whatever inputs."""
        known = self._stages.get(stage)
        return known["result"] if known else None

    def done(self, stage: str, inputs: str, work: Callable[[], Any], still: Callable[[Any], bool] = lambda _: True) -> Any:
        """The stage's result, which is JSON: remembered, or made now and remembered.

        `still` says of a remembered one whether what it tells of is there.
        """
        known = self.result(stage, inputs)
        if known is None or not still(known):
            began = time.monotonic()
            known = work()
            self.keep(stage, inputs, known, time.monotonic() - began)
        return known

    def seconds(self) -> dict[str, float]:
        """How long each stage took that is remembered."""
        return {stage: self._stages[stage]["seconds"] for stage in STAGES if stage in self._stages}

    def keep(self, stage: str, inputs: str, result: Any, seconds: float) -> None:
        self._stages[stage] = {"inputs": inputs, "result": result, "seconds": round(seconds, 3)}
        self._write()

    def forget(self, *stages: str) -> None:
        for stage in stages:
            self._stages.pop(stage, None)
        self._write()

    def _read(self) -> dict[str, Any]:
        try:
            raw = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise SlimError(f"{self.path} cannot be read: {error}", "--restart begins anew; nothing but time is lost") from error
        if not isinstance(raw, dict) or raw.get("schema") != _SCHEMA:
            raise AskedError(f"{self.path} is of another version", "--restart begins anew; nothing but time is lost")
        return raw

    def _write(self) -> None:
        write_whole(self.path, json.dumps({"schema": _SCHEMA, "archive": self.archive, "stages": self._stages}, indent=1).encode())


@contextmanager
def locked(work: Path) -> Iterator[None]:
    """One process at a time. The lock goes with the process, however that ends."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        file = (work / "lock").open("w")
    except OSError as error:
        raise SlimError(f"{work} cannot be used: {error.strerror}", "name another directory with --work DIR") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AskedError(f"another process works in {work}", "wait for it, or name another directory with --work DIR") from error
        yield
