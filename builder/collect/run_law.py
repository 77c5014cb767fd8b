"""Which runs go, and whose logs. Pure: a run stays with all that it started, came from, or goes on from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from builder.collect.run_facts import Run
from builder.model.units import age

OPEN, GREEN, FROZEN, NEEDED, KIN, YOUNG = "open runs", "green runs", "frozen checkpoints", "needed runs", "kin", "young"
"""Groups of reasons to stay, for people."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether a run, or its logs, go, and why. `group` is one of the above; empty for what goes."""

    run: Run
    goes: bool
    why: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """`now`, and `since`: what was written later is young (seconds since 1970). `green` and `needed` say of runs why they stay."""

    now: float
    since: float
    runs: Sequence[Run]
    green: Mapping[str, str] = field(default_factory=dict)
    needed: Mapping[str, str] = field(default_factory=dict)


def rule_runs(world: World) -> tuple[Ruling, ...]:
    """One for each run, in order."""
    own = {run.name: reason for run in world.runs if (reason := _own_reason(world, run))}
    kin = _kin_that_stays(world.runs, own)
    return tuple(_ruling(world, run, own.get(run.name) or kin.get(run.name)) for run in _in_order(world.runs))


def rule_logs(world: World) -> tuple[Ruling, ...]:
    """One for each run that has logs, in order. Those of a run that goes itself go with it, or before."""
    readers = _readers(world)
    return tuple(
        _ruling(world, run, _open(run) or _needed(world, run) or readers.get(run.name) or _young(world, run))
        for run in _in_order(world.runs)
        if run.logs
    )


def _in_order(runs: Iterable[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: (run.changed, run.name))


def _ruling(world: World, run: Run, reason: tuple[str, str] | None) -> Ruling:
    if reason:
        return Ruling(run, False, reason[1], reason[0])
    return Ruling(run, True, f"ended, not touched for {age(world.now - run.changed)}, and nothing needs it")


def _own_reason(world: World, run: Run) -> tuple[str, str] | None:
    return _open(run) or _needed(world, run) or _green(world, run) or _frozen(run) or _young(world, run)


def _open(run: Run) -> tuple[str, str] | None:
    return None if run.ended else (OPEN, f"the ledger has no end of {run.name}")


def _needed(world: World, run: Run) -> tuple[str, str] | None:
    return (NEEDED, world.needed[run.name]) if run.name in world.needed else None


def _green(world: World, run: Run) -> tuple[str, str] | None:
    return (GREEN, world.green[run.name]) if run.name in world.green else None


def _frozen(run: Run) -> tuple[str, str] | None:
    return (FROZEN, f"it made checkpoint {run.frozen[0][7:19]}, which is frozen") if run.frozen else None


def _young(world: World, run: Run) -> tuple[str, str] | None:
    return None if run.changed <= world.since else (YOUNG, f"touched {age(max(0.0, world.now - run.changed))} ago")


def _kin_that_stays(runs: Sequence[Run], staying: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Every other run that is bound to one that stays, over whatever runs."""
    bound = _bonds(runs)
    found: dict[str, tuple[str, str]] = {}
    for first in sorted(staying):
        left = [first]
        while left:
            for name in bound.get(left.pop(), ()):
                if name not in found:
                    found[name] = KIN, f"it belongs to {first}, which stays"
                    left.append(name)
    return found


def _bonds(runs: Iterable[Run]) -> dict[str, set[str]]:
    """Both ways: who goes on from a run names it, and not the other way round. Those that are not there bind nobody less."""
    bound: dict[str, set[str]] = {}
    for run in runs:
        for other in run.kin:
            bound.setdefault(run.name, set()).add(other)
            bound.setdefault(other, set()).add(run.name)
    return bound


def _readers(world: World) -> dict[str, tuple[str, str]]:
    """Runs whose logs are those of one that goes on, or is young, too."""
    return {other: (KIN, f"{run.name} kept steps of it") for run in world.runs if _open(run) or _young(world, run) for other in run.kept}
