"""Checkpoints that were never frozen, and files that no checkpoint names.

Bytes are counted as they are listed: a file of two checkpoints once, one that something else still needs not at all. What is removed was
looked at again when nobody could write any more: builder/data/turns.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from builder.collect.checkpoint_facts import (
    blobs_there,
    checkpoints_there,
    digests_in,
    frozen_ones,
    manifests,
    named_by_runs,
)
from builder.collect.checkpoint_law import YOUNG, Held, Ruling, World, goes_file, rule
from builder.collect.scene import Scene
from builder.collect.things import REMOVED, USED, Done, Thing, Verdict
from builder.data.checkpoints import checkpoint_key
from builder.data.interface import Found
from builder.data.turns import Turn, collecting, coming, forget_coming, forget_made, made

_CHECKPOINT, _FILES = "checkpoint", "files"
_AT_ONCE = 1000
"""Objects that go with one request, between two looks at whose turn it is."""


@dataclass(frozen=True, slots=True)
class _Look:
    """`needed` are the files (64 hex) of checkpoints that stay."""

    world: World
    rulings: Sequence[Ruling]
    needed: Collection[str]

    @property
    def going(self) -> list[str]:
        return [ruling.held.name for ruling in self.rulings if ruling.goes]


class Collector:
    """Of a data root."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._freed = 0

    def plan(self) -> Sequence[Verdict]:
        look = self._look(self._scene.now)
        sizes, count, loose = self._sizes(look)
        verdicts = [self._verdict(ruling, sizes) for ruling in look.rulings]
        if count:
            thing = Thing(_FILES, f"{count} files", self._scene.objects.name, "of no checkpoint", loose)
            verdicts.append(Verdict(thing, True, "no checkpoint and no run names them"))
        return verdicts

    def remove(self, going: Sequence[Verdict]) -> Iterator[Done]:
        """Checkpoints first: files go when nothing names them any more."""
        checkpoints = {_name(verdict.thing): verdict for verdict in going if verdict.thing.kind == _CHECKPOINT}
        with collecting(self._scene.objects) as turn:
            look = self._look(turn.now)
            gone = [name for name in look.going if name in checkpoints]
            needed = {*look.needed, *_files_of(self._scene, (name for name in look.going if name not in checkpoints))}
            sum(self._deleted(turn, (Found(checkpoint_key(f"sha256:{name}"), 0, 0) for name in gone)))
            yield from (Done(verdict, REMOVED if name in gone else USED) for name, verdict in checkpoints.items())
            self._freed = sum(self._deleted(turn, (found for _, found in _unneeded(self._scene, look.world, needed))))
            yield from (Done(verdict, REMOVED) for verdict in going if verdict.thing.kind == _FILES)
            self._forget(look.world)

    def freed(self, done: Sequence[Done]) -> int:
        return self._freed if done else 0

    def remarks(self) -> Iterable[str]:
        return ()

    def _look(self, now: float) -> _Look:
        """What is there is listed before what names it: what comes meanwhile is young, or is named."""
        objects = self._scene.objects
        since = now - (self._scene.now - self._scene.since)
        held = [Held(name, found.modified) for name, found in checkpoints_there(objects).items()]
        world = World(
            now=now,
            since=since,
            frozen=frozen_ones(objects),
            named=named_by_runs(objects, self._scene.ledger),
            coming={digest for text in coming(objects, now) for digest in digests_in(text)},
            made={name for name, lately in made(objects, since) if lately},
        )
        rulings = rule(world, held)
        staying = (ruling.held.name for ruling in rulings if not ruling.goes)
        return _Look(world, rulings, _files_of(self._scene, staying))

    def _sizes(self, look: _Look) -> tuple[dict[str, int], int, int]:
        """Bytes that each checkpoint frees which goes, how many other files go, and their bytes. What two share is the first one's."""
        first: dict[str, str] = {}
        for name, manifest in manifests(self._scene.objects, look.going):
            for item in manifest.files:
                first.setdefault(item.sha256, name)
        sizes, count, loose = dict.fromkeys(look.going, 0), 0, 0
        for sha256, found in _unneeded(self._scene, look.world, look.needed):
            if sha256 in first:
                sizes[first[sha256]] += found.size
            else:
                count, loose = count + 1, loose + found.size
        return sizes, count, loose

    def _verdict(self, ruling: Ruling, sizes: Mapping[str, int]) -> Verdict:
        digest = f"sha256:{ruling.held.name}"
        thing = Thing(_CHECKPOINT, digest, self._scene.objects.name, size=sizes.get(ruling.held.name))
        return Verdict(thing, ruling.goes, ruling.why, ruling.group, young=ruling.group == YOUNG)

    def _deleted(self, turn: Turn, wanted: Iterator[Found]) -> Iterator[int]:
        """Bytes, as they are gone."""
        while batch := list(islice(wanted, _AT_ONCE)):
            turn.check()
            self._scene.objects.delete([found.key for found in batch])
            yield sum(found.size for found in batch)

    def _forget(self, world: World) -> None:
        """Words between those who write and those who collect that are of no use any more."""
        objects = self._scene.objects
        forget_coming(objects, world.now)
        forget_made(objects, [name for name, lately in made(objects, world.since) if not lately and name not in world.coming])


def _name(thing: Thing) -> str:
    return thing.name.removeprefix("sha256:")


def _files_of(scene: Scene, names: Iterable[str]) -> set[str]:
    return {item.sha256 for _, manifest in manifests(scene.objects, names) for item in manifest.files}


def _unneeded(scene: Scene, world: World, needed: Collection[str]) -> Iterator[tuple[str, Found]]:
    for sha256, found in blobs_there(scene.objects):
        if goes_file(world, needed, sha256, found.modified):
            yield sha256, found
