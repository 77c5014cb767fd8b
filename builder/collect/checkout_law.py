"""Which directories of runs on this machine go, and which bundles. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from builder.collect.local_runs import Directory
from builder.model.units import age

OPEN, USED, RUNS, YOUNG = "open runs", "used by a process", "runs", "young"
"""Groups of reasons to stay, for people."""

_HALF = 2 * 3600.0
"""Seconds after which nobody goes on with a removal that was broken off."""


@dataclass(frozen=True, slots=True)
class World:
    """`now`, and `since`: what changed later is young (seconds since 1970). `open_runs` are those that the ledger has no end of; `used`
    says of directories which process uses them, `commits` of commits (40 hex) what needs them.
    """

    now: float
    since: float
    open_runs: Collection[str] = ()
    used: Mapping[str, str] = field(default_factory=dict)
    commits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether it goes, and why; `group` is one of the above, empty for what goes."""

    goes: bool
    why: str
    group: str = ""


def rule_directory(world: World, directory: Directory) -> Ruling:
    since_then = max(0.0, world.now - directory.newest)
    if directory.name in world.open_runs:
        return Ruling(False, f"the ledger has no end of {directory.name}", OPEN)
    if directory.name in world.used:
        return Ruling(False, world.used[directory.name], USED)
    if directory.leftover and since_then >= _HALF:
        return Ruling(True, "its removal was broken off")
    if directory.newest > world.since:
        return Ruling(False, f"changed {age(since_then)} ago", YOUNG)
    return Ruling(True, f"not changed for {age(since_then)}, and its run has ended")


def rule_bundle(world: World, sha: str, written: float) -> Ruling:
    since_then = max(0.0, world.now - written)
    if sha in world.commits:
        return Ruling(False, world.commits[sha], RUNS)
    if written > world.since:
        return Ruling(False, f"written {age(since_then)} ago", YOUNG)
    return Ruling(True, f"written {age(since_then)} ago, and no run is of that commit")
