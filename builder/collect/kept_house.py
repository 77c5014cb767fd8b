"""What the flow *housekeep* clears away, by hand, and with the options' times: the same things, the same law, the same looks before it.

Here everybody must answer. What is used just now is seen when it goes: by its uid and its runs in the cluster, by its time with Slurm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from builder.collect.run_facts import refuse
from builder.collect.scene import Scene
from builder.collect.things import FAILED, Done, Thing, Verdict
from builder.errors import UnansweredError
from builder.housekeep import housekeep, things
from builder.housekeep.plan import Verdict as Ruling
from builder.housekeep.plan import plan
from builder.housekeep.slurm_side import Place
from builder.runs.sources import Sources
from builder.settings import HousekeepSettings


@dataclass(frozen=True, slots=True)
class House:
    """Only things of these kinds; `argo`: in the cluster, else on Slurm's side."""

    scene: Scene
    kinds: Collection[things.Kind]
    argo: bool

    def plan(self) -> list[Verdict]:
        """Raises UnansweredError, DataError."""
        with self._places() as places:
            return [_verdict(ruling) for ruling in self._rulings(places)]

    def remove(self, going: Sequence[Verdict]) -> Iterator[Done]:
        """What was planned, as far as it still goes. Raises UnansweredError, DataError."""
        wanted = {(verdict.thing.kind, verdict.thing.place, verdict.thing.name): verdict for verdict in going}
        with self._places() as places:
            rulings = {_key(ruling.thing): ruling for ruling in self._rulings(places)}
            cluster = self.scene.connect("", "") if self.argo and going else None
            still = [rulings[key] for key in wanted if key in rulings and rulings[key].goes]
            for done in housekeep.carried_out(still, places, cluster):
                yield Done(wanted.pop(_key(done.verdict.thing)), FAILED if done.became == "failed" else done.became, done.error)
        for key, verdict in wanted.items():
            yield Done(verdict, "used" if key in rulings else "gone")

    def _rulings(self, places: Sequence[Place]) -> list[Ruling]:
        limits = limits_of(self.scene)
        settings = replace(self.scene.settings, housekeep=limits)
        scene = self.scene
        sources = Sources(settings, scene.objects, scene.ledger, lambda: scene.connect("", ""), refuse)
        world, _ = housekeep.look(sources, places, argo=self.argo)
        _check_all_answered(world.unseen)
        return [ruling for ruling in plan(world, limits) if ruling.thing.kind in self.kinds]

    @contextmanager
    def _places(self) -> Iterator[list[Place]]:
        places = [] if self.argo else housekeep.places_of(self.scene.settings)
        try:
            yield places
        finally:
            for place in places:
                place.bastion.close()


def limits_of(scene: Scene) -> HousekeepSettings:
    """The options' time for everything."""
    limit = f"{int(scene.now - scene.since)}s"
    return HousekeepSettings(limit, limit, limit, limit, limit, scene.keep_last)


def _check_all_answered(unseen: Mapping[str, str]) -> None:
    for place, why in unseen.items():
        raise UnansweredError(f"{place} could not be asked: {why}; nothing is deleted", "`builder doctor` looks for what is wrong")


def _key(thing: things.Thing) -> tuple[str, str, str]:
    return thing.kind.name, thing.place, thing.name


def _verdict(ruling: Ruling) -> Verdict:
    thing = Thing(ruling.thing.kind.name, ruling.thing.name, ruling.thing.place, ruling.thing.commit[:12])
    return Verdict(thing, ruling.goes, ruling.why, "" if ruling.goes else "used lately" if ruling.young else "needed", young=ruling.young)
