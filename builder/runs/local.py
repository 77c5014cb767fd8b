"""Executes a request on this machine: Metaflow's local runner in a process of its own, with a Metaflow home of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builder import process
from builder.model.run import RunResult
from builder.runs.alive import mark
from builder.runs.supervise import Tell, Watched, supervise
from builder.steps.request import Request

FLOW_LOG = "flow.log"
_OURS = ("METAFLOW_", "PYTHON", "MFLOG_")


def run_here(request: Request, flow: Path, state: Path, environ: Mapping[str, str], tell: Tell) -> RunResult:
    """Executes the flow to its end. `flow` is the Metaflow file, `state` the directory that keeps Metaflow's own files."""
    output = Path(request.place.output)
    output.mkdir(parents=True, exist_ok=True)
    log = output / FLOW_LOG
    environment = metaflow_environment(request, state, environ)
    return supervise(Watched(request, log, tell), lambda: Processes(flow_command(request, flow), output, log, environment))


def flow_command(request: Request, flow: Path | str, python: str = sys.executable) -> list[str]:
    """The command line of Metaflow's local runner."""
    argv = [python, str(flow), *metaflow_options(request), "run"]
    argv += ["--tag", f"run:{request.run}", "--tag", f"commit:{request.commit}"]
    return [*argv, "--max-workers", "4", "--request", request.pack()]


def metaflow_options(request: Request) -> list[str]:
    return ["--quiet", "--no-pylint", f"--metadata={_metadata(request)}", "--datastore=local", "--environment=local"]


def _metadata(request: Request) -> str:
    return "service" if request.metaflow.service else "local"


def metaflow_environment(request: Request, state: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables less every setting of Metaflow and Python, plus ours: nobody's ~/.metaflowconfig takes part."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_OURS)}
    return {**kept, **metaflow_settings(request, state)}


def metaflow_settings(request: Request, state: Path) -> dict[str, str]:
    """What Metaflow's local runner needs to know, to keep everything of its own below `state`; a service, if one is set, hears of it."""
    service = {"METAFLOW_SERVICE_URL": request.metaflow.service} if request.metaflow.service else {}
    return {
        **service,
        "METAFLOW_HOME": str(state / "home"),
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(state),
        "METAFLOW_DEFAULT_DATASTORE": "local",
        "METAFLOW_DEFAULT_METADATA": _metadata(request),
        "METAFLOW_DEFAULT_ENVIRONMENT": "local",
        "METAFLOW_USER": "builder",
    }


class Processes:
    """A flow and everything that it started: one process group, which ends as a whole."""

    def __init__(self, argv: Sequence[str], cwd: Path, log: Path, environment: Mapping[str, str]) -> None:
        Path(environment["METAFLOW_HOME"]).mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            self._child = process.start(
                argv,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file.fileno(),
                stderr=file.fileno(),
                own_group=True,
            )

    @property
    def facts(self) -> Mapping[str, Any]:
        return mark(self._child.pid, "pid")

    def poll(self) -> int | None:
        return self._child.poll()

    def end(self) -> None:
        """A command whose flow died, or the flow itself when this process is interrupted."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._child.pid, number)
            except (ProcessLookupError, PermissionError):
                break
            deadline = time.monotonic() + 2
            while self._child.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
        self._child.wait()
