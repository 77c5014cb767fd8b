"""Runs that ended long ago: their records and files in the data root, and their workflows in the cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from builder.collect.kept_house import House
from builder.collect.run_facts import Files, Runs, green_runs, read_runs
from builder.collect.run_law import YOUNG, Ruling, World, rule_runs
from builder.collect.run_removal import Removal
from builder.collect.scene import Scene
from builder.collect.things import REMOVED, USED, Done, Thing, Verdict, freed_by
from builder.data.turns import clock
from builder.housekeep.things import WORKFLOW
from builder.model.units import age
from builder.settings.keeping import LEAST

_RUN, _REST = "run", "rest of a run"


class Collector:
    """Of a data root, and of the namespace of [deploy]."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._house = House(scene, (WORKFLOW,), argo=True)

    def plan(self) -> Sequence[Verdict]:
        found = read_runs(self._scene.objects, self._scene.ledger)
        verdicts = [self._of_run(ruling) for ruling in self._rulings(found)]
        return [*verdicts, *self._rests(found), *self._house.plan()]

    def remove(self, going: Sequence[Verdict]) -> Iterator[Done]:
        """What was planned, as far as it still goes. The workflows last: they tell nothing that the records did not."""
        found = read_runs(self._scene.objects, self._scene.ledger)
        still = {ruling.run.name for ruling in self._rulings(found) if ruling.goes}
        removal = Removal(self._scene.objects, self._scene.ledger, clock(self._scene.objects) - LEAST)
        runs = {verdict.thing.name: verdict for verdict in going if verdict.thing.kind == _RUN}
        yield from (Done(verdict, USED) for name, verdict in runs.items() if name not in still)
        for name, became in removal.runs([name for name in runs if name in still]):
            yield Done(runs[name], became)
        yield from self._without_the_rest(removal, found, [verdict for verdict in going if verdict.thing.kind == _REST])
        yield from self._house.remove([verdict for verdict in going if verdict.thing.kind == WORKFLOW.name])

    def freed(self, done: Sequence[Done]) -> int:
        return freed_by(done)

    def remarks(self) -> Iterable[str]:
        return ()

    def _without_the_rest(self, removal: Removal, found: Runs, going: Sequence[Verdict]) -> Iterator[Done]:
        rests = {verdict.thing.name for verdict in self._rests(found) if verdict.goes}
        removal.rest([verdict.thing.name for verdict in going if verdict.thing.name in rests])
        yield from (Done(verdict, REMOVED if verdict.thing.name in rests else USED) for verdict in going)

    def _rulings(self, found: Runs) -> Sequence[Ruling]:
        return rule_runs(world_of(self._scene, found))

    def _of_run(self, ruling: Ruling) -> Verdict:
        run = ruling.run
        thing = Thing(_RUN, run.name, self._scene.objects.name, f"{run.flow} {run.commit[:12]}".strip(), run.size)
        return Verdict(thing, ruling.goes, ruling.why, ruling.group, young=ruling.group == YOUNG)

    def _rests(self, found: Runs) -> Iterator[Verdict]:
        """Of removals that were broken off; and what lies there for a run that the ledger does not know."""
        for name, files in sorted(found.leaving.items()):
            yield Verdict(self._rest(name, files), True, "its removal was broken off")
        for name, files in sorted(found.strays.items()):
            goes = files.newest <= self._scene.since
            why = f"the ledger knows no such run; last written {age(max(0.0, self._scene.now - files.newest))} ago"
            yield Verdict(self._rest(name, files), goes, why, "" if goes else YOUNG, young=not goes)

    def _rest(self, name: str, files: Files) -> Thing:
        return Thing(_REST, name, self._scene.objects.name, f"{files.count} files", files.size)


def world_of(scene: Scene, found: Runs) -> World:
    needed = {name: reason.text for name, reason in scene.needs.runs.items()}
    return World(scene.now, scene.since, found.runs, green_runs(scene.objects, scene.keep_last), needed)
