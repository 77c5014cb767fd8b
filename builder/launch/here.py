"""Executes a team's command on this machine, in a process of its own with the team's path alone.

Nothing of the tool reaches it: no METAFLOW_*, no BUILDER_* but the contract's, none of the PYTHON* variables with which
the tool was started. What the commit's image would set is set here too.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from builder import process
from builder.errors import LaunchError
from builder.launch.interface import Finished, Job

OURS = ("METAFLOW_", "BUILDER_", "PYTHON", "MFLOG_", "ARGO_")
"""What variables begin with that are this tool's, Metaflow's or Argo's: a command gets none of them but from its image."""

_PYTHONS = ("python", "python3")
_LAST_WORDS = 5.0  # seconds; a process that the command left behind may hold its output open for ever
_CHUNK = 1 << 16


class Here:
    """Child processes of this one. They stay in its process group, so that whoever started it can end them with it.

    `echo`: what they write goes to this process's stdout, too.
    """

    outlives = False

    def __init__(self, inherited: Mapping[str, str], *, echo: bool = False) -> None:
        self._inherited = inherited
        self._echo = echo
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._copying: dict[str, threading.Thread] = {}

    def submit(self, job: Job) -> str:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("ab") as log:
            child = process.start(
                executable(job),
                cwd=job.workdir,
                env=environment(job, self._inherited),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._echo else log.fileno(),
                stderr=subprocess.STDOUT if self._echo else log.fileno(),
            )
        handle = str(child.pid)
        self._running[handle] = child
        if self._echo:
            self._copying[handle] = threading.Thread(target=_copy, args=(child.stdout, job.log), daemon=True)
            self._copying[handle].start()
        return handle

    def poll(self, handle: str, seconds: float) -> Finished | None:
        try:
            code = self._running[handle].wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None
        if handle in self._copying:
            self._copying[handle].join(_LAST_WORDS)
        return Finished(code)

    def cancel(self, handle: str) -> None:
        child = self._running[handle]
        child.terminate()
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _copy(source: IO[bytes], log: Path) -> None:
    """Bytes as they come, into the log and to stdout. A stdout that is gone ends neither the log nor the command."""
    with source, log.open("ab", buffering=0) as file:
        while chunk := source.read1(_CHUNK):  # type: ignore[attr-defined]  # a pipe of subprocess is buffered
            file.write(chunk)
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.buffer.write(chunk)
                sys.stdout.flush()


def executable(job: Job) -> tuple[str, ...]:
    """The command line with `python` as the interpreter that the run uses. Raises LaunchError for an empty command."""
    if not job.argv:
        raise LaunchError(f"{job.name} has no command")
    first = job.python if job.python and job.argv[0] in _PYTHONS else job.argv[0]
    return (first, *job.argv[1:])


def environment(job: Job, inherited: Mapping[str, str]) -> dict[str, str]:
    """What the command finds: the machine's own variables, then the image's, then the contract's."""
    kept = {name: value for name, value in inherited.items() if not name.startswith(OURS) and name not in job.hidden}
    kept = {**kept, "PYTHONUNBUFFERED": "1", **job.env}  # a log that is followed shows lines as they are written
    path = kept.get("PATH", os.defpath)
    kept["PATH"] = f"{Path(job.python).parent}{os.pathsep}{path}" if job.python else path
    entries = [str(job.workdir / entry) for entry in job.pythonpath]
    if job.env.get("PYTHONPATH"):
        entries.append(job.env["PYTHONPATH"])
    if entries:
        kept["PYTHONPATH"] = os.pathsep.join(entries)
    return {**kept, **job.variables}
