"""Which checkpoints go, and which files: only what is old, not frozen, and named by nothing. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from builder.model.units import age

FROZEN, RUNS, COMING, YOUNG = "frozen checkpoints", "runs", "being written", "young"
"""Groups of reasons to stay, for people."""


@dataclass(frozen=True, slots=True)
class Held:
    """A checkpoint: its name (64 hex) and when its manifest was written, in seconds since 1970."""

    name: str
    written: float


@dataclass(frozen=True, slots=True)
class World:
    """`now`, and `since`: what was written later is young. `frozen` and `named` say which run froze, or names, what; `coming` is what
    somebody is just about to name, `made` what was there already when it was made anew lately.
    """

    now: float
    since: float
    frozen: Mapping[str, str] = field(default_factory=dict)
    named: Mapping[str, str] = field(default_factory=dict)
    coming: Collection[str] = ()
    made: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether a checkpoint goes, and why; `group` is one of the above, empty for what goes."""

    held: Held
    goes: bool
    why: str
    group: str = ""


def rule(world: World, held: Iterable[Held]) -> tuple[Ruling, ...]:
    """One for each checkpoint, in order."""
    return tuple(_ruling(world, one) for one in sorted(held, key=lambda one: (one.written, one.name)))


def _ruling(world: World, held: Held) -> Ruling:
    if held.name in world.frozen:
        return Ruling(held, False, f"{world.frozen[held.name]} froze it", FROZEN)
    if held.name in world.named:
        return Ruling(held, False, f"{world.named[held.name]} names it", RUNS)
    if held.name in world.coming or held.name in world.made:
        return Ruling(held, False, "somebody just makes it again", COMING)
    since_then = max(0.0, world.now - held.written)
    if held.written > world.since:
        return Ruling(held, False, f"written {age(since_then)} ago", YOUNG)
    return Ruling(held, True, f"written {age(since_then)} ago, never frozen, and no run names it")


def goes_file(world: World, needed: Collection[str], name: str, written: float) -> bool:
    """Whether a file of checkpoints goes; `needed` are those that checkpoints which stay consist of."""
    return written <= world.since and not any(name in known for known in (needed, world.named, world.coming, world.made))
