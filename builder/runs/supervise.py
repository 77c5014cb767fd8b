"""Watches a run that goes on under this process, and writes its end into the ledger: the same for a process and for a container."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from builder.data.ledger import RUN, Ledger, now
from builder.errors import LaunchError
from builder.model.run import RunResult
from builder.runs.alive import mark
from builder.steps import notices
from builder.steps.config import about
from builder.steps.outcome import result_of, why
from builder.steps.request import Request
from builder.steps.request_file import keep_request
from builder.steps.root import ledger_of, objects_of
from builder.steps.slurm_jobs import cancel_jobs
from builder.steps.stopping import stopped_by

_LOOK_EVERY = 0.1  # seconds
_KEPT = ("state", "config", "identity", "checkpoint", "loss", "scores", "holes", "error", "hint", "seconds")

Tell = Callable[[str, Mapping[str, Any]], None]
"""Called again and again with a step's name and its record as it is, for every step that has begun."""


class Running(Protocol):
    """What executes a flow: a process, or a container."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the ledger keeps, to find it again: a process or container id."""

    def poll(self) -> int | None:
        """The exit code, once it has ended."""

    def end(self) -> None:
        """Ends whatever of it still runs."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A request that is executed, where Metaflow's own output goes, and who is told of steps.

    `copy` brings the ledger up to date, for flows that do not write into it: it gets the flow's exit code, None while it runs.
    """

    request: Request
    log: Path
    tell: Tell
    copy: Callable[[int | None], None] = lambda _: None


def supervise(watched: Watched, start: Callable[[], Running]) -> RunResult:
    """Starts the run and waits for its end. A flow that fails is a result, too: its `error` says which step, and why.

    An interruption ends everything of the run before it goes on.
    """
    request = watched.request
    ledger, began = ledger_of(request), time.monotonic()
    record = {**about(request), "commit": request.commit, "started": now(), "host": socket.gethostname()}
    record |= mark(os.getpid(), "supervisor")
    keep_request(request)
    ledger.write(request.run, RUN, {**record, "state": "starting"})
    try:
        with _ending_signals_interrupt():
            running = start()
            record |= running.facts
            ledger.write(request.run, RUN, {**record, "state": "running"})
            code = _wait(running, lambda: _look(ledger, watched))
        watched.copy(code)
        _tell_steps(ledger, watched)
    except BaseException as error:
        ended = _broken_off(request, error)
        ledger.write(request.run, RUN, {**record, **ended, "ended": now()})
        notices.of_end(request, result_of(request.run, records := ledger.read(request.run)), records)
        raise
    result = replace(_result(watched, ledger, code), seconds=round(time.monotonic() - began, 3))
    plain = result.to_json()
    kept = {name: plain[name] for name in _KEPT}
    ledger.write(request.run, RUN, {**record, **kept, "ended": now()})
    notices.of_end(request, result, ledger.read(request.run))
    return result


def _broken_off(request: Request, error: BaseException) -> dict[str, Any]:
    """How a run ends that is asked to, or cannot start."""
    if not isinstance(error, (KeyboardInterrupt, SystemExit)):
        return {"state": "failed", "error": str(error), "hint": getattr(error, "hint", "")}
    how = error.args[0] if error.args and isinstance(error.args[0], str) else "ctrl-C"
    return {"error": f"{request.run} was ended by {how}", "hint": cancel_jobs(request), **stopped_by(objects_of(request), request.run)}


def _result(watched: Watched, ledger: Ledger, code: int) -> RunResult:
    request = watched.request
    records = ledger.read(request.run)
    result = result_of(request.run, records)
    if code == 0 and result.state == "succeeded":
        return result
    error = why(records) or _flow_failed(watched, code)
    return replace(result, state="failed", error=error.message, hint=error.hint)


def _flow_failed(watched: Watched, code: int) -> LaunchError:
    """No step says why: the end of what Metaflow said."""
    try:
        lines = watched.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
    except OSError:
        lines = []
    tail = "\n".join(f"  {line}" for line in lines)
    message = f"{watched.request.run}: the flow ended with exit code {code}; its last lines:\n{tail}"
    return LaunchError(message, f"the whole log: {watched.log}")


def _wait(running: Running, look: Callable[[], None]) -> int:
    try:
        while (code := running.poll()) is None:
            look()
            time.sleep(_LOOK_EVERY)
        look()
        return code
    finally:
        running.end()


def _look(ledger: Ledger, watched: Watched) -> None:
    watched.copy(None)
    _tell_steps(ledger, watched)


def _tell_steps(ledger: Ledger, watched: Watched) -> None:
    for step, record in ledger.read(watched.request.run).items():
        if step != RUN:
            watched.tell(step, record)


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
