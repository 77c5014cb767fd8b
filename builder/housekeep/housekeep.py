"""The whole of it: what there is, what needs it, and what goes. What cannot be asked, or removed, stops nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from builder.cluster.interface import Cluster
from builder.data.interface import Objects
from builder.data.ledger import RUN, seconds_of
from builder.errors import BuilderError
from builder.housekeep import argo_side, slurm_side
from builder.housekeep.argo_side import Namespace
from builder.housekeep.plan import Verdict, plan
from builder.housekeep.slurm_side import Place
from builder.housekeep.things import Jobs, Thing, World
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.survey import clusters
from builder.runs.history import Seen
from builder.runs.sources import Sources
from builder.settings import Settings

T = TypeVar("T")

_PATIENCE = 60.0  # seconds for a bastion
_AT_ONCE = 200  # things a command


@dataclass(frozen=True, slots=True)
class Done:
    """`became` is `removed`, `gone`, `used`, or `failed`, then with `error`; `kept` for what stays; with a dry run `would go`."""

    verdict: Verdict
    became: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """What was done with everything, and what could not be asked."""

    done: tuple[Done, ...]
    unseen: dict[str, str]

    @property
    def failed(self) -> bool:
        return bool(self.unseen) or any(one.became == "failed" for one in self.done)


def housekeep(sources: Sources, *, dry: bool = False) -> Kept:
    """Raises DataError, AuthError when the data root cannot be read: it says what is needed."""
    settings = sources.settings
    places = places_of(settings)
    try:
        world, cluster = look(sources, places)
        verdicts = plan(world, settings.housekeep)
        return Kept(tuple(carried_out(verdicts, places, cluster, dry=dry)), dict(world.unseen))
    finally:
        for place in places:
            place.bastion.close()


def places_of(settings: Settings) -> list[Place]:
    """Every root of every cluster of Slurm that the settings know; whoever asked there closes its bastion."""
    return [Place(Bastion(slurm, _PATIENCE)) for known in clusters(settings).values() for slurm in known]


def look(sources: Sources, places: Sequence[Place], *, argo: bool = True) -> tuple[World, Cluster | None]:
    """Things are listed before what needs them is: what is used meanwhile counts as used. The namespace of Argo only with `argo`."""
    unseen: dict[str, str] = {}
    there = {str(place): found for place in places if (found := _asked(str(place), unseen, partial(_at, place)))}
    runs = [Seen.of(entry.run, entry.records) for entry in sources.ledger.runs(warn=sources.warn)]
    cluster, namespace = _argo(sources, runs, unseen) if argo else (None, None)
    commits, templates = namespace.needs() if namespace else ({}, {})
    for run in runs:
        if run.is_open and run.commit:
            commits.setdefault(run.commit, f"the ledger has no end of {run.run}")
    for commit, why in green_commits(sources.objects, sources.settings.housekeep.green):
        commits.setdefault(commit, why)
    world = World(
        now={**{place: found.now for place, found in there.items()}, **({namespace.name: time.time()} if namespace else {})},
        things=(*(thing for found in there.values() for thing in found.things), *(namespace.things() if namespace else ())),
        open_runs=frozenset(run.run for run in runs if run.is_open),
        commits=commits,
        templates=templates,
        jobs={place: found.jobs for place, found in there.items()},
        unseen=unseen,
    )
    return world, cluster


def _asked(place: str, unseen: dict[str, str], work: Callable[[], T]) -> T | None:
    try:
        return work()
    except BuilderError as error:
        unseen[place] = error.message
        return None


@dataclass(frozen=True, slots=True)
class _There:
    things: tuple[Thing, ...]
    now: float
    jobs: Jobs


def _at(place: Place) -> _There:
    things = tuple(slurm_side.things_at(place))
    return _There(things, *slurm_side.jobs_at(place))


def _argo(sources: Sources, runs: Sequence[Seen], unseen: dict[str, str]) -> tuple[Cluster | None, Namespace | None]:
    """None where the settings and the ledger know of no cluster, or it cannot be asked."""
    settings = sources.settings
    if not (settings.run.on == "argo" or settings.schedule or any(run.on == "argo" for run in runs)):
        return None, None
    cluster = _asked("Argo", unseen, sources.connect)
    return cluster, _asked("Argo", unseen, lambda: Namespace(cluster, _uses(runs))) if cluster else None


def _uses(runs: Sequence[Seen]) -> dict[str, float]:
    """When a run that the ledger knows used a template last."""
    found: dict[str, float] = {}
    for run in runs:
        name = str(run.records.get(RUN, {}).get("template", ""))
        if name and run.started:
            found[name] = max(found.get(name, 0.0), seconds_of(run.started))
    return found


def green_commits(objects: Objects, last: int) -> Iterator[tuple[str, str]]:
    """Commit, and why it is kept, of so many green runs of every flow."""
    by_flow: dict[str, list[str]] = {}
    for found in objects.list("green/"):
        by_flow.setdefault(found.key.split("/")[1], []).append(found.key)
    for flow, keys in by_flow.items():
        for key in sorted(keys, reverse=True)[:last]:
            if data := objects.get(key):
                run = json.loads(data)
                yield run["commit"], f"{run['run']} is one of the last {last} green runs of {flow}"


def carried_out(verdicts: Sequence[Verdict], places: Sequence[Place], cluster: Cluster | None, *, dry: bool = False) -> Iterator[Done]:
    """What became of each; with `dry` nothing is removed."""
    going = {verdict.thing: verdict for verdict in verdicts if verdict.goes}
    yield from (Done(verdict, "kept") for verdict in verdicts if not verdict.goes)
    if dry:
        yield from (Done(verdict, "would go") for verdict in going.values())
        return
    for place in places:
        yield from _removed([thing for thing in going if thing.place == str(place)], going, partial(slurm_side.remove, place))
    if cluster is not None:
        ours = [thing for thing in going if thing.place == cluster.namespace]
        for thing in ours:
            yield from _removed([thing], going, partial(argo_side.remove, cluster))


def _removed(
    things: Sequence[Thing], going: Mapping[Thing, Verdict], remove: Callable[[Sequence[Thing]], Iterator[tuple[Thing, str]]]
) -> Iterator[Done]:
    for start in range(0, len(things), _AT_ONCE):
        left = dict.fromkeys(things[start : start + _AT_ONCE])
        try:
            for thing, became in remove(list(left)):
                del left[thing]
                word, _, why = became.partition(" ")
                yield Done(going[thing], word, why)
        except BuilderError as error:
            yield from (Done(going[thing], "failed", error.message) for thing in left)
