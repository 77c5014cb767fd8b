"""Starts what a run on this machine asks for: each run in a process of its own, which outlives the one that started it.

A container cannot start another one, and a step knows nothing of the repository: so whoever looks after the run does it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder import process
from builder.data.ledger import RUN
from builder.errors import BuilderError
from builder.model.run import RunResult
from builder.runs.alive import mark
from builder.runs.children import announce, following, link, refuse
from builder.runs.own import own_outbox
from builder.runs.places import Directories
from builder.runs.supervise import Tell
from builder.steps.outbox import check_depth, is_same, read_asks
from builder.steps.request import Request, Start
from builder.steps.root import ledger_of

LOG = "start.log"
"""In the directory of a run that another one started: what `builder run` wrote."""

_DONE = ("succeeded", "missing")


class Children:
    """What a run asks to be started. `repository` is the directory in which `builder run` was typed: there its settings are found."""

    def __init__(self, request: Request, repository: Path, directories: Directories, environ: Mapping[str, str]) -> None:
        self._request = request
        self._repository = repository
        self._directories = directories
        self._environ = environ
        self._ledger = ledger_of(request)
        self._seen: set[str] = set()

    def watching(self, tell: Tell) -> Tell:
        """Tells as before, and starts what a step that has ended asked for."""

        def both(step: str, record: Mapping[str, Any]) -> None:
            tell(step, record)
            if "asked" in record and record["state"] in _DONE and step not in self._seen:
                self._seen.add(step)
                for start in record["asked"]:
                    self.begin(_restored(start))

        return both

    def follow(self, result: RunResult) -> None:
        """Starts the flows that come after one which ended so, and what a team's own flow asked for.

        Raises LaunchError when that cannot be read: then it starts nothing of it.
        """
        starts = list(following(self._request, result.state))
        try:
            if self._request.settings.file and result.state == "succeeded":
                starts += self._asked_by_own()
        finally:
            for start in starts:
                self.begin(start)
            link(self._ledger, self._request.run, RUN, [start.run for start in starts])

    def _asked_by_own(self) -> tuple[Start, ...]:
        run = self._request.run
        try:
            return read_asks(self._request, own_outbox(self._request), run, (run, "flow"))
        except BuilderError as error:
            self._ledger.write(run, RUN, {**self._ledger.read(run)[RUN], "warning": error.message})
            raise

    def begin(self, start: Start) -> None:
        """Nothing when it was started before. One that cannot start is a run that failed: the ledger says why."""
        ours = {"on": start.on or self._request.on, "host": socket.gethostname(), **mark(os.getpid(), "supervisor")}
        if not announce(self._ledger, start, ours):
            return
        try:
            check_depth(start)
            self._spawn(start, ours["on"])
        except BuilderError as error:
            refuse(self._ledger, start, error)

    def _spawn(self, start: Start, on: str) -> None:
        directory = self._directories.output(start.run)
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / LOG).open("ab") as log:
            child = process.start(
                command_line(start, self._request.commit, on, self._repository),
                cwd="/",  # `-m` imports from the working directory first: not from a repository's
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log.fileno(),
                stderr=log.fileno(),
                own_group=True,
            )
        process.let_go(child)


def command_line(start: Start, commit: str, on: str, repository: Path | str) -> list[str]:
    """`builder run` for what a run at `commit` asks for."""
    revision = commit if is_same(start, commit) else start.rev
    words = [*start.overrides, *([f"evals={','.join(start.evals)}"] if start.evals else [])]
    options = ["--on", on, *(["--detach"] if on == "argo" else []), "--repo", str(repository), "--child", start.pack()]
    return [sys.executable, "-m", "builder", "run", *options, "--", f"{start.flow}@{revision}", *words]


def _restored(raw: Any) -> Start:
    import msgspec

    return msgspec.convert(raw, Start)
