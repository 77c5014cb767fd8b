"""What steps wrote, of runs that ended long ago: `runs/<run>/<step>/log`. The run stays, and says when its logs were cleared away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from builder.collect.run_facts import is_log, read_runs
from builder.collect.run_law import YOUNG, Ruling, rule_logs, rule_runs
from builder.collect.runs import world_of
from builder.collect.scene import Scene
from builder.collect.things import GONE, REMOVED, USED, Done, Thing, Verdict, freed_by
from builder.runs.cleared import mark_cleared


class Collector:
    """Of a data root."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def plan(self) -> Sequence[Verdict]:
        return [self._verdict(ruling) for ruling in self._rulings()]

    def remove(self, going: Sequence[Verdict]) -> Iterator[Done]:
        """What was planned, as far as it still goes. First it is written down, for whoever looks for the log."""
        still = {ruling.run.name for ruling in self._rulings() if ruling.goes}
        for verdict in going:
            if verdict.thing.name not in still:
                yield Done(verdict, USED)
            else:
                yield Done(verdict, REMOVED if self._clear(verdict.thing.name) else GONE)

    def _clear(self, run: str) -> bool:
        objects = self._scene.objects
        keys = [found.key for found in objects.list(f"runs/{run}/") if is_log(found.key)]
        if keys:
            mark_cleared(objects, run)
            objects.delete(keys)
        return bool(keys)

    def freed(self, done: Sequence[Done]) -> int:
        return freed_by(done)

    def remarks(self) -> Iterable[str]:
        return ()

    def _rulings(self) -> Sequence[Ruling]:
        """Raises DataError."""
        world = world_of(self._scene, read_runs(self._scene.objects, self._scene.ledger))
        whole = {ruling.run.name for ruling in rule_runs(world) if ruling.goes} if "runs" in self._scene.kinds else ()
        return [ruling for ruling in rule_logs(world) if ruling.run.name not in whole]

    def _verdict(self, ruling: Ruling) -> Verdict:
        run = ruling.run
        thing = Thing("logs", run.name, self._scene.objects.name, f"{run.logs} of {run.flow or 'an unknown flow'}", run.log_size)
        return Verdict(thing, ruling.goes, ruling.why, ruling.group, young=ruling.group == YOUNG)
