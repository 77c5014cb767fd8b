"""Images in a store: those of commits, what lies below them, and what is attached to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from builder.collect.manifests import Fact, Inventory, take_inventory
from builder.collect.needs import Needs
from builder.collect.reach import UNKNOWN, Ages, Reached, freed_bytes, reach
from builder.collect.scene import Scene
from builder.collect.strangers import strangers
from builder.collect.things import FAILED, GONE, REMOVED, USED, Done, Thing, Verdict
from builder.collect.tips import names_of_tips
from builder.collect.unneeded import Unneeded
from builder.data.threads import in_threads
from builder.errors import UsageError
from builder.model.units import age, plural
from builder.stores import interface
from builder.stores.interface import Held, Holdings, Store

_BATCH = 500
"""Before so many go, everybody is asked again what they need."""
STRAY = "blobs"


class Collector:
    """Of the store of a scene."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._store = _holdings(scene.store)
        self._unneeded = Unneeded(scene.objects, scene.store.name)
        self._inventory = Inventory()
        self._since: dict[str, float] = {}
        self._needs = Needs()
        self._strangers: frozenset[str] = frozenset()
        self._verdicts: dict[str, Verdict] = {}
        self._swept = 0

    def plan(self) -> Sequence[Verdict]:
        """What there is is listed first: what is used meanwhile counts as used."""
        scene = self._scene
        self._inventory = take_inventory(self._store)
        self._needs = Needs().and_those([scene.needs, names_of_tips(scene, self._inventory)])
        self._strangers = strangers(scene, self._inventory)
        before = self._unneeded.read()
        reached = self._with_attached(self._reach(self._needs, before), before)
        self._since = before
        if not scene.dry:
            unknown = [digest for digest in reached.unneeded if self._inventory.facts[digest].pushed is None]
            self._since = self._unneeded.note(unknown, before, scene.now)
        self._verdicts = {verdict.thing.name: verdict for verdict in self._verdicts_on(reached)}
        return tuple(self._verdicts.values())

    def remove(self, going: Sequence[Verdict]) -> Iterator[Done]:
        """In batches. Before each everybody is asked again, and what is needed by then stays."""
        rest = iter([verdict for verdict in going if verdict.thing.kind != STRAY])
        while batch := list(islice(rest, _BATCH)):
            needs = Needs().and_those([self._scene.needs_now(), self._needs])
            reached = self._reach(needs, self._since)
            yield from self._remove_some(batch, reached, needs)
        self._swept = self._store.sweep(dry=False)
        yield from (Done(verdict, REMOVED) for verdict in going if verdict.thing.kind == STRAY)

    def freed(self, done: Sequence[Done]) -> int:
        """In a layout what was swept, and the manifests themselves; in a registry what its own collector can free now."""
        removed = {one.verdict.thing.name for one in done if one.became == REMOVED}
        gone = tuple(fact for fact in self._inventory.facts.values() if fact.digest in removed)
        if self._scene.store.sparse:
            return self._swept + sum(fact.size for fact in gone)
        return sum(self._freed(self._inventory.facts.keys() - removed, gone).values())

    def remarks(self) -> Iterable[str]:
        if not self._scene.store.sparse and any(verdict.goes for verdict in self._verdicts.values()):
            yield "the registry frees the bytes when its own garbage collector runs; until then only names go"
        if strange := sum(verdict.group == UNKNOWN for verdict in self._verdicts.values()):
            text = f"{plural(strange, 'image')} {'is' if strange == 1 else 'are'} of commits that this clone does not know"
            yield f"{text}, maybe another repository's: --unknown lets them go as others do, [image] source says which are yours"
        waiting = [verdict for verdict in self._verdicts.values() if verdict.young and not verdict.goes and verdict.group == "young"]
        unknown = [verdict for verdict in waiting if self._inventory.facts[verdict.thing.name].pushed is None]
        if unknown:
            text = f"{len(unknown)} manifests may go once nothing has needed them for {age(self._scene.now - self._scene.since)}"
            noted = "; this dry run does not write down since when" if self._scene.dry else ""
            yield f"{text}: {self._scene.store.name} does not say how old they are{noted}"

    # inside

    def _with_attached(self, reached: Reached, since: dict[str, float]) -> Reached:
        """The same, with what is attached to those that go, where the store does not list it by itself: it is as old as they are."""
        ages, found = Ages(self._scene.now, self._scene.since, since), False
        for subject, others in self._attached([fact.digest for fact in reached.going]).items():
            for other in others:
                stored = None if other in self._inventory.facts else self._store.get_manifest(other)
                if stored is not None:
                    tag = subject.replace(":", "-")
                    self._inventory.add(Held(other, (tag,), ages.of(self._inventory.facts[subject])), stored)
                    found = True
        return self._reach(self._needs, since) if found else reached

    def _reach(self, needs: Needs, since: dict[str, float]) -> Reached:
        return reach(self._inventory, needs, Ages(self._scene.now, self._scene.since, since), self._strangers)

    def _freed(self, kept: Iterable[str], going: Sequence[Fact]) -> dict[str, int]:
        """A layout need not have the layers of a base."""
        store = self._scene.store
        return freed_bytes(self._inventory, kept, going, store.has_blob if store.sparse else None)

    def _remove_some(self, batch: Sequence[Verdict], reached: Reached, needs: Needs) -> Iterator[Done]:
        going: dict[str, Verdict] = {}
        for verdict in batch:
            if reason := reached.kept.get(verdict.thing.name):
                yield Done(verdict, USED, reason.text)
            else:
                going[verdict.thing.name] = verdict
        attached = self._attached(list(going))
        for digest in [digest for digest, others in attached.items() if any(other in needs.digests for other in others)]:
            yield Done(going.pop(digest), USED, "something attached to it is needed")
        others = [other for digest in going for other in attached[digest] if other not in self._inventory.facts]
        self._unneeded.forget(going)
        for digest, became in self._store.remove([*dict.fromkeys(others), *going]):
            if digest in going:
                yield _done(going[digest], became)

    def _attached(self, digests: Sequence[str]) -> dict[str, list[str]]:
        """What is attached to each, and to that in turn: what the store does not list is among it. The last ones first."""
        found: dict[str, list[str]] = {digest: [] for digest in digests}
        asked, nearest = {digest: digest for digest in digests}, list(digests)
        while nearest:
            answers = dict(zip(nearest, in_threads(self._store.referrers, nearest), strict=True))
            nearest = []
            for subject, referrers in answers.items():
                for referrer in referrers:
                    if referrer not in asked:
                        asked[referrer] = asked[subject]
                        found[asked[subject]].insert(0, referrer)
                        nearest.append(referrer)
        return found

    def _verdicts_on(self, reached: Reached) -> Iterator[Verdict]:
        freed = self._freed(reached.kept, reached.going)
        for fact in reached.going:
            idle = self._scene.now - (fact.pushed if fact.pushed is not None else self._since[fact.digest])
            what = "pushed" if fact.pushed is not None else "not needed for"
            why = f"{what} {age(idle)}{' ago' if fact.pushed is not None else ''}, and nothing needs it"
            yield Verdict(self._thing(fact, freed[fact.digest]), True, why)
        for digest, reason in reached.kept.items():
            fact = self._inventory.facts[digest]
            yield Verdict(self._thing(fact, None), False, reason.text, reason.group, reason.group == "young")
        if stray := self._store.sweep(dry=True):
            yield Verdict(Thing(STRAY, "blobs", self._scene.store.name, "", stray), True, "no manifest names them")

    def _thing(self, fact: Fact, size: int | None) -> Thing:
        return Thing(fact.kind, fact.digest, self._scene.store.name, fact.label, size)


def _holdings(store: Store) -> Holdings:
    if not isinstance(store, Holdings):
        raise UsageError(f"{store.name} cannot be cleaned", "`docker image prune` looks after the images of a Docker daemon")
    return store


def _done(verdict: Verdict, became: str) -> Done:
    if became in (interface.REMOVED, interface.GONE):
        return Done(verdict, REMOVED if became == interface.REMOVED else GONE)
    return Done(verdict, FAILED, became.removeprefix("refused: "))
