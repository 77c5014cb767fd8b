"""How often one looks at a job that runs elsewhere: soon after it began, then ever more rarely."""

from __future__ import annotations

import time
from collections.abc import Callable

from builder.launch.interface import Finished

_EVERY = (0.5, 1.0, 2.0, 5.0)  # seconds; the last one for ever


def looked_at(look: Callable[[float], Finished | None], seconds: float) -> Finished | None:
    """What `look` (it is told how many seconds are left) says of the job's end, within so many seconds; None when it still runs."""
    deadline, looks = time.monotonic() + seconds, 0
    while True:
        ended = look(max(0.0, deadline - time.monotonic()))
        if ended is not None:
            return ended
        if time.monotonic() >= deadline:
            return None
        time.sleep(min(_EVERY[min(looks, len(_EVERY) - 1)], max(0.0, deadline - time.monotonic())))
        looks += 1
