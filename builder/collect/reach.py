"""Which manifests are needed, and which go: pure. The law is that nothing goes that anything which stays, or anybody, needs.

What is needed by name is kept (needs.py), what is young, and what is nobody's here to judge; then whatever these need in turn: the
members of an index, the base, the dependencies, tool and other images that lie below an image, what is attached to it, and what something
attached belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from builder.collect.manifests import ARTIFACTS, FOREIGN, IMAGE, INDEX, Fact, Inventory
from builder.collect.needs import Needs, Reason
from builder.model.units import age

_BELOW, _ATTACHED, _YOUNG, _OTHERS = "what kept images need", "attached to kept images", "young", "made by others"
UNKNOWN = "of commits that this clone does not know"


@dataclass(frozen=True, slots=True)
class Ages:
    """`now` and `since` (what is younger stays) in seconds since 1970; `unneeded` says since when nothing needs a manifest, for those of
    which the store does not know when they came.
    """

    now: float
    since: float
    unneeded: Mapping[str, float] = field(default_factory=dict)

    def of(self, fact: Fact) -> float | None:
        """Since when it may count as there and not needed; None: since now."""
        return fact.pushed if fact.pushed is not None else self.unneeded.get(fact.digest)


@dataclass(frozen=True, slots=True)
class Reached:
    """`kept` says why; `going` in the order in which they are to go: what names others first. `unneeded` are all that no name and nobody's
    age keeps: the going ones, and those that may only go later, as nobody knows how old they are.
    """

    kept: Mapping[str, Reason]
    going: tuple[Fact, ...]
    unneeded: frozenset[str]


def reach(inventory: Inventory, needs: Needs, ages: Ages, strangers: AbstractSet[str] = frozenset()) -> Reached:
    """A verdict on every manifest of the inventory; `strangers` are those that stay as nobody here knows their commits."""
    walk = _Walk(inventory)
    prefixes = tuple(needs.tags)
    for fact in inventory.facts.values():
        if reason := _needed(fact, needs, prefixes) or _foreign(fact) or _young(fact, ages) or _unknown(fact, strangers):
            walk.keep(fact.digest, reason)
    unneeded = frozenset(inventory.facts.keys() - walk.kept.keys())
    for digest in sorted(unneeded):
        fact = inventory.facts[digest]
        if fact.pushed is None and (reason := _waiting(fact, ages)):
            walk.keep(digest, reason)
    going = [fact for digest, fact in inventory.facts.items() if digest not in walk.kept]
    return Reached(walk.kept, tuple(sorted(going, key=lambda fact: _order(inventory, fact))), unneeded)


def freed_bytes(
    inventory: Inventory, kept: Iterable[str], going: Iterable[Fact], is_there: Callable[[str], bool] | None = None
) -> dict[str, int]:
    """What the removal of each frees: the blobs that nothing which stays has, counted with the first that has them, and itself.

    `is_there` says whether the store has a blob at all, where it need not.
    """
    taken = bytearray(len(inventory.blobs))
    for digest in kept:
        for number in inventory.facts[digest].blobs:
            taken[number] = 1
    freed: dict[str, int] = {}
    for fact in going:
        freed[fact.digest] = fact.size
        for number in fact.blobs:
            if not taken[number] and (is_there is None or is_there(inventory.blobs[number])):
                freed[fact.digest] += inventory.sizes[number]
            taken[number] = 1
    return freed


class _Walk:
    """Keeps manifests, and with each what it needs."""

    def __init__(self, inventory: Inventory) -> None:
        self._facts = inventory.facts
        self._attached: dict[str, list[str]] = {}
        self._by_top: dict[int, list[tuple[str, frozenset[int]]]] = {}
        self.kept: dict[str, Reason] = {}
        for fact in inventory.facts.values():
            if fact.subject:
                self._attached.setdefault(fact.subject, []).append(fact.digest)
            if fact.kind in ARTIFACTS and fact.layers:
                self._by_top.setdefault(fact.layers[-1], []).append((fact.digest, frozenset(fact.layers)))

    def keep(self, digest: str, reason: Reason) -> None:
        waiting = [(digest, reason)]
        while waiting:
            digest, reason = waiting.pop()
            if digest in self._facts and digest not in self.kept:
                self.kept[digest] = reason
                waiting += self._needs(self._facts[digest])

    def _needs(self, fact: Fact) -> Iterator[tuple[str, Reason]]:
        who = f"{fact.kind} {fact.label}".rstrip() if fact.label else f"{fact.kind} {fact.digest[:19]}"
        for name in fact.names:
            yield name, Reason(_BELOW, f"{who} needs it")
        if fact.subject:
            yield fact.subject, Reason(_ATTACHED, f"{fact.digest[:19]} is attached to it, and stays")
        for attached in self._attached.get(fact.digest, ()):
            yield attached, Reason(_ATTACHED, f"attached to {who}")
        yield from self._below(fact, Reason(_BELOW, f"{who} needs it"))

    def _below(self, fact: Fact, reason: Reason) -> Iterator[tuple[str, Reason]]:
        """Artifacts all of whose layers it has."""
        layers: frozenset[int] | None = None
        for layer in fact.layers:
            for digest, needed in self._by_top.get(layer, ()):
                layers = layers or frozenset(fact.layers)
                if needed <= layers:
                    yield digest, reason


def _needed(fact: Fact, needs: Needs, prefixes: tuple[str, ...]) -> Reason | None:
    """Labels have the first 16 digits of a digest."""
    reason = (
        needs.digests.get(fact.digest) or needs.digests.get(fact.digest[:23]) or (needs.commits.get(fact.commit) if fact.commit else None)
    )
    if reason is None and prefixes and fact.kind != IMAGE:
        tag = next((tag for tag in fact.tags if tag.startswith(prefixes)), "")
        return next((why for prefix, why in needs.tags.items() if tag.startswith(prefix)), None) if tag else None
    return reason


def _foreign(fact: Fact) -> Reason | None:
    """Also an image that says of no commit is nobody's to judge."""
    if fact.kind in (FOREIGN, INDEX) or (fact.kind == IMAGE and not fact.commit):
        return Reason(_OTHERS, "builder did not make it")
    return None


def _unknown(fact: Fact, strangers: AbstractSet[str]) -> Reason | None:
    return Reason(UNKNOWN, f"this clone does not know the commit {fact.commit[:12]}") if fact.digest in strangers else None


def _young(fact: Fact, ages: Ages) -> Reason | None:
    if fact.pushed is not None and fact.pushed > ages.since:
        return Reason(_YOUNG, f"pushed {age(ages.now - fact.pushed)} ago")
    return None


def _waiting(fact: Fact, ages: Ages) -> Reason | None:
    since = ages.of(fact)
    if since is None:
        return Reason(_YOUNG, "nothing needs it since now; the store does not say how old it is")
    return Reason(_YOUNG, f"nothing needs it for {age(ages.now - since)}") if since > ages.since else None


def _order(inventory: Inventory, fact: Fact) -> tuple[int, int, str, str]:
    """What is attached goes before what it is attached to, lists of such first; images before what lies below them."""
    if fact.subject:
        return -_depth(inventory, fact), 0 if fact.names else 1, "", fact.digest
    return 1 if fact.kind == IMAGE else 2, 0, fact.commit, fact.digest


def _depth(inventory: Inventory, fact: Fact) -> int:
    """Attached to an image: 1; to something attached to that: 2. They may say that they are attached in a circle."""
    seen = [fact.digest]
    while (below := inventory.facts.get(fact.subject)) is not None and below.subject and below.digest not in seen:
        fact = below
        seen.append(fact.digest)
    return len(seen)
