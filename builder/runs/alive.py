"""Whether a process that the ledger names still lives: on this machine, and the very one, not another with its number."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.errors import BuilderError
from builder.process import run

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def birth(pid: int) -> str:
    """When the process began, in words that no other process of that number ever gets; empty when it is dead, or a zombie."""
    if not _BOOT.exists():
        return _birth_elsewhere(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    state, ticks = fields[0], fields[19]  # proc_pid_stat(5): the third field, and the 22nd, in ticks since the machine started
    return "" if state in "ZX" else f"{_BOOT.read_text().strip()}/{ticks}"


def _birth_elsewhere(pid: int) -> str:
    """Where there is no /proc, as on macOS."""
    try:
        state, _, began = run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], check=False).text.strip().partition(" ")
    except BuilderError:
        return ""
    return "" if state.startswith("Z") else began.strip()


def mark(pid: int, name: str) -> dict[str, Any]:
    """What the ledger keeps of a process: `<name>`, its number, and `<name>_born`."""
    return {name: pid, f"{name}_born": birth(pid)}


def is_alive(record: Mapping[str, Any], name: str = "supervisor") -> bool | None:
    """Whether the process that `mark` wrote into the record lives. None: it is another machine's, which alone can tell."""
    if record.get("host") != socket.gethostname():
        return None
    born = record.get(f"{name}_born")
    return bool(born) and birth(int(record[name])) == born
