"""The built-in flows that look after what all others leave: they need no commit, and have neither commands nor records of their own."""

from __future__ import annotations

from builder.settings import Settings

WATCH, HOUSEKEEP = "watch", "housekeep"
KEEPERS = {
    WATCH: "Tells of jobs, workflows and runs that nobody else tells of.",
    HOUSEKEEP: "Clears away what nothing needs any more.",
}


def keeper_of(name: str, settings: Settings) -> str:
    """Which of the two the flow is; empty when it is none. A [flow.watch] with a file, or another `use`, is the team's own."""
    flow = settings.flow.get(name)
    kind = name if flow is None else "" if flow.file else flow.use or name
    return kind if kind in KEEPERS else ""
