"""How a command ended, in the words of the settings: exit:N, killed, memory, timeout."""

from __future__ import annotations

import re
import signal
from pathlib import Path

_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))
_OOM = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def oom_kills() -> int:
    """How many processes of this control group the kernel has killed for want of memory (0 where it does not say).

    https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.events), cgroup-v1/memory.html (memory.oom_control)
    """
    for file in _COUNTERS:
        try:
            match = _OOM.search(file.read_text())
        except OSError:
            continue
        if match:
            return int(match[1])
    return 0


def end_of(code: int, *, timed_out: bool = False, out_of_memory: bool = False) -> str:
    """`code` is an exit code, or -N for a death by signal N; a shell in between makes 128 + N of that."""
    if timed_out:
        return "timeout"
    if out_of_memory and code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return "memory"
    if code < 0 or code in (128 + signal.SIGKILL, 128 + signal.SIGTERM):
        return "killed"
    return f"exit:{code}"


def describe(code: int, end: str, seconds: float) -> str:
    """For people: `ended with exit code 3`."""
    if end == "timeout":
        return f"was ended after {seconds:.0f} s: the time that the settings give it"
    if end == "memory":
        return "was killed by the kernel: out of memory"
    return f"died by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
