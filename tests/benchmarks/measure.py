"""What one process costs: wall time, CPU and memory of it and everything it waited for."""

from __future__ import annotations

import math
import os
import socket
import statistics
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_LONGEST = 300.0


class CommandFailed(Exception):
    """A measured command that ended badly: there is nothing to measure."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One execution. `cpu` is user + system seconds of the command's own process tree, `daemon_cpu` that of the servers it had work for it.

    `rss` is the peak of the largest process of the tree, in bytes; a daemon's memory is in no figure. `sent` are bytes that the
    registry did not have; `requests` those that reached it.
    """

    seconds: float
    cpu: float
    rss: int
    stdout: bytes = b""
    daemon_cpu: float = 0.0
    sent: int = 0
    requests: int = 0


def run(argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Cost:
    """Runs a command to its end. Raises CommandFailed with the end of its stderr."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = subprocess.Popen(list(argv), cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        watchdog = threading.Timer(_LONGEST, process.kill)
        watchdog.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        finally:
            watchdog.cancel()
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)  # it is reaped: subprocess must not wait for it again
        if process.returncode:
            raise CommandFailed(f"{' '.join(argv)}\nended with {process.returncode}: {_end_of(err)}")
        out.seek(0)
        return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, out.read())


def _end_of(file: object) -> str:
    file.seek(0)  # type: ignore[attr-defined]
    return str(file.read()[-2000:].decode("utf-8", "replace"))  # type: ignore[attr-defined]


def listener(socket_path: str) -> int:
    """The process id of the server behind a unix socket (SO_PEERCRED, unix(7))."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(socket_path.removeprefix("unix://"))
        return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def cpu_of(pids: Sequence[int]) -> float:
    """CPU seconds that running processes, and the children they waited for, have used so far (/proc/PID/stat, proc(5))."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(field) for field in fields[11:15])
    return total / _TICK


def median(costs: Sequence[Cost], figure: Callable[[Cost], float]) -> float:
    return statistics.median(figure(cost) for cost in costs)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]
