"""Executes a request on this machine: Metaflow's local runner in a process of its own, with a Metaflow home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from builder import process
from builder.data.directory import DirectoryObjects
from builder.data.ledger import RUN, Ledger, now
from builder.errors import LaunchError
from builder.model.run import Request, RunResult

FLOW_LOG, REPORT = "flow.log", "report.json"
_OURS = ("METAFLOW_", "PYTHON", "MFLOG_")
_LOOK_EVERY = 0.1  # seconds
_LAST_LINES = 20

Tell = Callable[[str, Mapping[str, Any]], None]
"""Called again and again with a step's name and its record as it is, for every step that has begun."""


def run_here(request: Request, flow: Path, state: Path, environ: Mapping[str, str], tell: Tell, facts: Mapping[str, Any]) -> RunResult:
    """Executes the flow to its end. A flow that fails is a result, too: its `error` says which step, and why.

    `flow` is the Metaflow file, `state` the directory that keeps Metaflow's own files, `facts` are kept with the run's
    record (who, subject, where). An interruption ends every process of the run before it goes on.
    """
    ledger = Ledger(DirectoryObjects(Path(request.place.data)))
    record = {**facts, "flow": request.flow, "commit": request.commit, "reference": request.reference, "on": "local", "started": now()}
    ledger.write(request.run, RUN, {**record, "state": "running"})
    began = time.monotonic()
    try:
        with _ending_signals_interrupt():
            code = _execute(request, flow, state, environ, lambda: _tell_steps(ledger, request.run, tell))
    except BaseException:
        ledger.write(request.run, RUN, {**record, "state": "stopped", "ended": now()})
        raise
    result = replace(_result(request, ledger, code), seconds=round(time.monotonic() - began, 3))
    ended = {
        "state": result.state,
        "ended": now(),
        "config": result.config,
        "loss": result.to_json()["loss"],
        "scores": dict(result.scores),
    }
    ledger.write(request.run, RUN, {**record, **ended})
    return result


def metaflow_environment(state: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables less every setting of Metaflow and Python, plus ours: nobody's ~/.metaflowconfig takes part."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_OURS)}
    return {
        **kept,
        "METAFLOW_HOME": str(state / "home"),
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(state),
        "METAFLOW_DEFAULT_DATASTORE": "local",
        "METAFLOW_DEFAULT_METADATA": "local",
        "METAFLOW_DEFAULT_ENVIRONMENT": "local",
        "METAFLOW_USER": "builder",
    }


def _execute(request: Request, flow: Path, state: Path, environ: Mapping[str, str], look: Callable[[], None]) -> int:
    (state / "home").mkdir(parents=True, exist_ok=True)
    output = Path(request.place.output)
    argv = [sys.executable, str(flow), "--quiet", "--no-pylint", "--metadata=local", "--datastore=local", "--environment=local", "run"]
    argv += ["--tag", f"run:{request.run}", "--tag", f"commit:{request.commit}", "--request", json.dumps(request.to_json())]
    with (output / FLOW_LOG).open("wb") as log:
        child = process.start(
            argv,
            cwd=output,
            env=metaflow_environment(state, environ),
            stdin=subprocess.DEVNULL,
            stdout=log.fileno(),
            stderr=log.fileno(),
            own_group=True,
        )
    try:
        return _wait(child, look)
    finally:
        _end_group(child)


def _wait(child: subprocess.Popen[bytes], look: Callable[[], None]) -> int:
    while (code := child.poll()) is None:
        look()
        time.sleep(_LOOK_EVERY)
    look()
    return code


@contextmanager
def _ending_signals_interrupt() -> Iterator[None]:
    """The flow has a session of its own: without this it would outlive a builder that is asked to end, or whose terminal closes."""

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Whatever the run left running: a command whose flow died, the flow itself when this process is interrupted."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except (ProcessLookupError, PermissionError):
            break
        deadline = time.monotonic() + 2
        while child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
    child.wait()


def _tell_steps(ledger: Ledger, run: str, tell: Tell) -> None:
    for step, record in ledger.read(run).items():
        if step != RUN:
            tell(step, record)


def _result(request: Request, ledger: Ledger, code: int) -> RunResult:
    report = Path(request.place.output) / REPORT
    if code == 0 and report.exists():
        found = json.loads(report.read_text(encoding="utf-8"))
        names = ("run", "flow", "commit", "reference", "state", "config", "loss", "scores", "links")
        return RunResult(**{name: found[name] for name in names})
    error = _why(request, ledger, code)
    links = {"directory": request.place.output}
    return RunResult(
        request.run, request.flow, request.commit, request.reference, "failed", links=links, error=error.message, hint=error.hint
    )


def _why(request: Request, ledger: Ledger, code: int) -> LaunchError:
    """What the step that failed first wrote down; else the end of what Metaflow said."""
    failed = [record for step, record in ledger.read(request.run).items() if step != RUN and record["state"] == "failed"]
    if failed:
        first = min(failed, key=lambda record: str(record["ended"]))
        return LaunchError(str(first["error"]), str(first["hint"]))
    log = Path(request.place.output) / FLOW_LOG
    tail = "\n".join(f"  {line}" for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:])
    return LaunchError(f"{request.run}: the flow ended with exit code {code}; its last lines:\n{tail}", f"the whole log: {log}")
