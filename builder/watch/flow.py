"""What the step of the flow *watch* does in a pod: as `builder run watch` does by hand."""

from __future__ import annotations

import os

from builder.cluster.kubernetes import connect
from builder.notify import open_notifier
from builder.runs.in_force import settings_of
from builder.runs.sources import Sources
from builder.steps.markers import note
from builder.steps.request import Task
from builder.steps.root import ledger_of, objects_of
from builder.watch.watch import notify_settings, watch
from builder.watch.wording import lines_of


def run(task: Task) -> None:
    """Raises DataError, AuthError, NotifyError: then it was not told, and the next look does it."""
    request = task.request
    settings = settings_of(request)
    sources = Sources(settings, objects_of(request), ledger_of(request), lambda: connect(request.namespace), note)
    seen = watch(sources, lambda: open_notifier(notify_settings(settings), os.environ))
    for row in lines_of(seen.news, seen.world.now):
        note("  ".join(row))
    note("no news" if not seen.text else "told" if settings.notify.slack else "nobody was told: [notify] slack is off")
