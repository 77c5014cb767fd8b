"""Ends a run, wherever it goes on. What then looks after its end writes down that it was stopped, and by whom."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from builder.cluster.interface import Cluster
from builder.data.interface import Objects
from builder.data.ledger import RUN, Ledger, now
from builder.errors import DataError, LaunchError
from builder.runs.alive import birth, is_alive
from builder.runs.history import Seen
from builder.steps.stopping import ask_to_stop, stopped_by

_PATIENCE = 30.0  # seconds: a command that does not listen is killed after a few
_LOOK_EVERY = 0.1


@dataclass(frozen=True, slots=True)
class Stopper:
    """Who stops runs, of which ledger."""

    who: str
    objects: Objects
    ledger: Ledger
    connect: Callable[[], Cluster]

    def stop(self, seen: Seen) -> str:
        """What was done, in words: nothing when the run has ended. Raises LaunchError, ClusterError, AuthError when it cannot be."""
        if seen.state == "lost":
            return self._clear_up(seen)
        if not seen.is_open:
            return f"{seen.run} has ended already: {seen.state}"
        return self._on_argo(seen) if seen.on == "argo" else self._here(seen)

    def _on_argo(self, seen: Seen) -> str:
        """`Stop`, as `Terminate` would leave out the handler that writes down the end.

        https://argo-workflows.readthedocs.io/en/release-3.7/cli/argo_stop/
        """
        cluster = self.connect()
        there = cluster.get("workflows", seen.run)
        if there is None:
            raise LaunchError(f"{seen.run} is not in namespace {cluster.namespace} yet", "try again in a moment")
        if there.get("spec", {}).get("shutdown"):
            return f"{seen.run} is being stopped already"
        ask_to_stop(self.objects, seen.run, self.who)
        cluster.patch("workflows", seen.run, {"metadata": {"annotations": {"builder/stopped-by": self.who}}, "spec": {"shutdown": "Stop"}})
        return f"{seen.run} is being stopped; its pods get 30 s to end"

    def _here(self, seen: Seen) -> str:
        record = self._ready(seen)
        if is_alive(record) is None:
            raise _elsewhere(seen.run, record)
        ask_to_stop(self.objects, seen.run, self.who)
        if not end_process(record, "supervisor", signal.SIGTERM):
            return self._clear_up(seen)
        deadline = time.monotonic() + _PATIENCE
        while "ended" not in (after := self.ledger.read(seen.run).get(RUN, {})):
            if time.monotonic() > deadline:
                raise LaunchError(f"{seen.run} was asked to end, and has not within {_PATIENCE:.0f} s", "ask again, or look at its process")
            time.sleep(_LOOK_EVERY)
        return f"{seen.run} is stopped" if after["state"] == "stopped" else f"{seen.run} had just ended: {after['state']}"

    def _ready(self, seen: Seen) -> Mapping[str, Any]:
        """The run's own record. While a run that another one started makes its image, the record is that one's."""
        record: Mapping[str, Any] = seen.records.get(RUN, {})
        if record.get("state") == "starting":
            raise LaunchError(f"{seen.run} is just starting", "try again in a moment")
        return record

    def _clear_up(self, seen: Seen) -> str:
        """What looked after it is dead: what is left of it is ended here, and its record written, which nobody else does any more."""
        record = seen.records.get(RUN, {})
        if seen.on == "argo":
            return f"{seen.run} is not in the cluster any more: there is nothing to stop"
        if is_alive(record) is None:
            raise _elsewhere(seen.run, record)
        ask_to_stop(self.objects, seen.run, self.who)
        left = end_process(record, "pid", signal.SIGKILL, group=True)
        if record.get("container"):
            from builder.runs.docker import remove_container

            left = remove_container(seen.run, str(record["container"]))
        slurm = _cancel_jobs(self.objects, seen.run)
        self.ledger.write(seen.run, RUN, {**record, "hint": slurm, **stopped_by(self.objects, seen.run), "ended": now()})
        return f"{seen.run} is stopped: what looked after it was dead{', and what was left of it is ended' if left else ''}"


def _cancel_jobs(objects: Objects, run: str) -> str:
    from builder.steps.request_file import kept_request
    from builder.steps.slurm_jobs import cancel_jobs

    try:
        return cancel_jobs(kept_request(objects, run))
    except DataError:
        return ""


def _elsewhere(run: str, record: Mapping[str, Any]) -> LaunchError:
    host = record.get("host", "another machine")
    return LaunchError(f"{run} runs on {host}, this is {socket.gethostname()}: no other machine can stop it", f"there: builder stop {run}")


def end_process(record: Mapping[str, Any], name: str, number: int, *, group: bool = False) -> bool:
    """Sends the signal to the very process that the record names, or to its group; False when it is dead.

    A descriptor keeps the process's number from becoming another's meanwhile (pidfd_open(2)). Raises LaunchError when it is another user's.
    """
    pid, born = int(record.get(name) or 0), record.get(f"{name}_born")
    if not pid or not born:
        return False
    with contextlib.ExitStack() as stack:
        try:
            handle = _open_process(pid)
            if handle is not None:
                stack.callback(os.close, handle)
            if birth(pid) != born:
                return False
            _send(pid, handle, number, group=group)
        except ProcessLookupError:
            return False
        except PermissionError as error:
            raise LaunchError(f"process {pid} is another user's", "whoever started the run may stop it") from error
    return True


def _open_process(pid: int) -> int | None:
    return os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None


def _send(pid: int, handle: int | None, number: int, *, group: bool) -> None:
    if group:
        os.killpg(pid, number)  # of its own: see Processes
    elif handle is not None:
        signal.pidfd_send_signal(handle, number)
    else:
        os.kill(pid, number)
