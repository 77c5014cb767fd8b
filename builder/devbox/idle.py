"""When a box has been idle for too long: nobody is connected, and nothing has had a processor to speak of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

_WORKING = 0.05
"""Of one processor: less is what waits, and wakes up to see that there is nothing to do."""

_STAT = (Path("/sys/fs/cgroup/cpu.stat"), "usage_usec", 1e-6), (Path("/sys/fs/cgroup/cpuacct/cpuacct.usage"), "", 1e-9)


@dataclass(frozen=True, slots=True)
class Idle:
    """`since`: when it was busy last, and `used`: the seconds of processors until then, both by the clocks of who asks."""

    since: float
    looked: float
    used: float = 0.0

    def seen(self, now: float, connections: int, used: float) -> Idle:
        """How it stands after another look."""
        busy = connections > 0 or used - self.used > _WORKING * (now - self.looked)
        return replace(self, since=now if busy else self.since, looked=now, used=used)

    def left(self, limit: float) -> float:
        """Seconds until it has been idle for `limit`."""
        return self.since + limit - self.looked


def in_words(limit: int) -> str:
    """Seconds as the settings have them: `90s`, `15m`, `4h`, `7d`."""
    unit, length = next((unit, length) for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)) if limit % length == 0)
    return f"{limit // length}{unit}"


def processor_seconds() -> float:
    """What all processes of this pod have used so far; 0 where the kernel does not tell."""
    for path, word, unit in _STAT:
        try:
            text = path.read_text()
        except OSError:
            continue
        found = next((line.split()[-1] for line in text.splitlines() if line.startswith(word)), "0")
        return int(found) * unit
    return 0.0
