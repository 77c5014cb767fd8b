"""Lines in a pod's log between which everything is what the team's command wrote, and not Metaflow's, Argo's or ours."""

from __future__ import annotations

OURS = "[builder] "
BEGINS, ENDS = f"{OURS}the command begins", f"{OURS}the command has ended"


def note(text: str) -> None:
    """What one waits for meanwhile: `builder logs --all` shows it."""
    say(OURS + text)


def say(marker: str) -> None:
    """Into this process's stdout. The output before it need not end with a newline: then the marker ends its last line."""
    print(marker, flush=True)  # noqa: T201 - a pod's log is what its processes print
