"""Copies of commits: directories of runs on this machine, code and images on Slurm's side, bundles of commits in the data root."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from builder.collect import local_runs
from builder.collect.checkout_law import YOUNG, Ruling, World, rule_bundle, rule_directory
from builder.collect.kept_house import House
from builder.collect.local_runs import Directory
from builder.collect.needs import BUNDLES, TIPS
from builder.collect.run_facts import refuse
from builder.collect.scene import Scene
from builder.collect.things import FAILED, GONE, REMOVED, USED, Done, Thing, Verdict, freed_by
from builder.data.interface import Found
from builder.data.turns import collecting, coming
from builder.errors import DataError
from builder.housekeep.things import ON_SLURM
from builder.runs.bundles import FOLDER
from builder.runs.history import Seen
from builder.runs.places import Directories
from builder.steps.outcome import ENDED

_RUN, _BUNDLE = "directory of a run", "bundle"


class Collector:
    """Of this machine, of Slurm's clusters, and of a data root."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._top = Directories.of(scene.settings).state / "runs"
        self._house = House(scene, ON_SLURM, argo=False)

    def plan(self) -> Sequence[Verdict]:
        world = self._world(self._scene.now)
        return [*self._directories(world), *self._bundles(world), *self._house.plan()]

    def remove(self, going: Sequence[Verdict]) -> Iterator[Done]:
        """What was planned, as far as it still goes."""
        yield from self._without_directories([verdict for verdict in going if verdict.thing.kind == _RUN])
        if bundles := [verdict for verdict in going if verdict.thing.kind == _BUNDLE]:
            yield from self._without_bundles(bundles)
        yield from self._house.remove([verdict for verdict in going if verdict.thing.kind not in (_RUN, _BUNDLE)])

    def freed(self, done: Sequence[Done]) -> int:
        return freed_by(done)

    def remarks(self) -> Iterable[str]:
        return ()

    def _world(self, now: float) -> World:
        """Raises DataError when the ledger cannot be read."""
        scene, open_runs, commits = self._scene, set[str](), dict[str, str]()
        for entry in scene.ledger.runs(warn=refuse):
            seen = Seen.of(entry.run, entry.records)
            if seen.state not in ENDED:
                open_runs.add(entry.run)
            commits |= {commit: f"{entry.run} is of it" for commit in _commits(seen) if commit not in commits}
        for sha, reason in scene.needs.commits.items():
            if reason.group not in (TIPS, BUNDLES):
                commits.setdefault(sha, reason.text)
        used = local_runs.in_use(self._top)
        return World(now, now - (scene.now - scene.since), open_runs, used, commits)

    # directories

    def _directories(self, world: World) -> Iterator[Verdict]:
        for directory in local_runs.directories(self._top):
            thing = Thing(_RUN, directory.name, str(self._top), size=directory.size)
            yield _verdict(thing, rule_directory(world, directory))

    def _without_directories(self, going: Sequence[Verdict]) -> Iterator[Done]:
        world = self._world(self._scene.now) if going else World(0, 0)
        for verdict in going:
            path = Path(verdict.thing.place, verdict.thing.name)
            if not path.is_dir() or path.is_symlink():
                yield Done(verdict, GONE)
            elif not rule_directory(world, Directory(path, *local_runs.measure(path), leftover=path.name.startswith("."))).goes:
                yield Done(verdict, USED)
            else:
                yield _removed(verdict, path)

    # bundles

    def _bundles(self, world: World) -> Iterator[Verdict]:
        for found in self._scene.objects.list(f"{FOLDER}/"):
            thing = Thing(_BUNDLE, _sha(found), self._scene.objects.name, _sha(found)[:12], found.size)
            yield _verdict(thing, rule_bundle(world, _sha(found), found.modified))

    def _without_bundles(self, going: Sequence[Verdict]) -> Iterator[Done]:
        objects = self._scene.objects
        with collecting(objects) as turn:
            there = {_sha(found): found for found in objects.list(f"{FOLDER}/")}
            announced = b"\n".join(coming(objects, turn.now))
            world = self._world(turn.now)
            for verdict in going:
                sha = verdict.thing.name
                if sha not in there:
                    yield Done(verdict, GONE)
                elif sha.encode() in announced or not rule_bundle(world, sha, there[sha].modified).goes:
                    yield Done(verdict, USED)
                else:
                    turn.check()
                    objects.delete([there[sha].key])
                    yield Done(verdict, REMOVED)


def _commits(seen: Seen) -> Iterator[str]:
    """Of the run, and of those that its steps name."""
    yield from (str(record["commit"]) for record in seen.records.values() if record.get("commit"))
    yield seen.commit


def _removed(verdict: Verdict, path: Path) -> Done:
    try:
        return Done(verdict, REMOVED if local_runs.remove(path) else GONE)
    except DataError as error:
        return Done(verdict, FAILED, error.message)


def _sha(found: Found) -> str:
    return found.key.rpartition("/")[2]


def _verdict(thing: Thing, ruling: Ruling) -> Verdict:
    return Verdict(thing, ruling.goes, ruling.why, ruling.group, young=ruling.group == YOUNG)
