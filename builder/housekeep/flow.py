"""What the step of the flow *housekeep* does in a pod: as `builder run housekeep` does by hand."""

from __future__ import annotations

from builder.cluster.kubernetes import connect
from builder.errors import LaunchError
from builder.housekeep.housekeep import Kept, housekeep
from builder.runs.in_force import settings_of
from builder.runs.sources import Sources
from builder.steps.markers import note
from builder.steps.request import Task
from builder.steps.root import ledger_of, objects_of


def run(task: Task) -> None:
    """Raises LaunchError when something could not be asked or removed, after all the rest is done."""
    request = task.request
    sources = Sources(settings_of(request), objects_of(request), ledger_of(request), lambda: connect(request.namespace), note)
    kept = housekeep(sources)
    for one in kept.done:
        if not one.verdict.young:
            thing = one.verdict.thing
            note(f"{thing.kind.name} {thing.name} {one.became}: {one.error or one.verdict.why} ({thing.place})")
    if kept.failed:
        raise LaunchError(f"{request.run}: {trouble(kept)}", "`builder run housekeep` shows it; the next time goes on with it")


def trouble(kept: Kept) -> str:
    """What did not go well, in short."""
    failed = [f"{one.verdict.thing.name}: {one.error}" for one in kept.done if one.became == "failed"]
    failed += [f"{place} could not be asked: {why}" for place, why in kept.unseen.items()]
    return "; ".join(failed[:3]) + (f"; and {len(failed) - 3} more" if len(failed) > 3 else "")
