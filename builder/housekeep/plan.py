"""What goes and what stays, with the reason. Pure: the law is that nothing goes that anything needs, or that somebody just used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from builder.housekeep.things import JOBS, TEMPLATE, WORKFLOW, Thing, World
from builder.model.units import age
from builder.settings import HousekeepSettings, seconds

LEAST = 3600.0
"""Seconds in which nothing goes, whatever the settings say: what was used now is needed by somebody whom nobody sees yet."""
_BEFORE = 86400.0
"""Seconds before a job was submitted: what it uses was marked as used after that."""
_HALF = 86400.0
"""Seconds after which nobody goes on with what was left half made."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`why` it goes, or stays; `young`: only because it was used lately."""

    thing: Thing
    goes: bool
    why: str
    young: bool = False


def plan(world: World, limits: HousekeepSettings) -> tuple[Verdict, ...]:
    """One for each thing, in order."""
    return tuple(_verdict(world, thing, limits) for thing in sorted(world.things, key=_order))


def _order(thing: Thing) -> tuple[str, str, str]:
    return thing.place, thing.kind.name, thing.name


def _verdict(world: World, thing: Thing, limits: HousekeepSettings) -> Verdict:
    if reason := next(_needs(world, thing), ""):
        return Verdict(thing, False, reason)
    idle = world.now[thing.place] - thing.used
    limit = max(LEAST, _HALF if thing.leftover else seconds(getattr(limits, thing.kind.setting)))
    if idle < limit:
        return Verdict(thing, False, f"used {age(idle)} ago", young=True)
    what = "left half made" if thing.leftover else "not used"
    return Verdict(thing, True, f"{what} for {age(idle)}, and nothing needs it")


def _needs(world: World, thing: Thing) -> Iterator[str]:
    """Whatever needs it."""
    if thing.place in world.unseen:
        yield f"nobody knows what needs it: {world.unseen[thing.place]}"
    if thing.kind in (WORKFLOW, JOBS) and thing.run in world.open_runs:
        yield f"the ledger has no end of {thing.run}"
    if thing.kind == TEMPLATE:
        yield from filter(None, [world.templates.get(thing.name), world.commits.get(thing.commit)])
    if thing.linked:
        yield "a tree of code shares its files"
    yield from _jobs_need(world, thing)


def _jobs_need(world: World, thing: Thing) -> Iterator[str]:
    """Jobs of anybody: their runs need not be in this ledger, so what they use is known by when it was used."""
    jobs = world.jobs.get(thing.place)
    if jobs is None:
        return
    if thing.kind == JOBS and thing.run in jobs.runs:
        yield f"a job of {thing.run} is in the queue"
    if thing.kind.holds and not thing.leftover and jobs.oldest is not None and thing.used >= jobs.oldest - _BEFORE:
        yield "used when a job was submitted that is in the queue"
