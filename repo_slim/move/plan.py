"""What moving a clone comes to: each branch, tag and stash, each HEAD, from where to where. It depends on nothing but what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from repo_slim import tags
from repo_slim.commit_map import CommitMap
from repo_slim.git import Git
from repo_slim.move.clone import AFTER, BEFORE, Clone, Place, Stash, stashes
from repo_slim.move.replay import Conflict, Replay
from repo_slim.rewrite import MAP_REF


@dataclass(frozen=True, slots=True)
class Step:
    """A ref (or a stash, or a HEAD) that moves. `commits`: how many are made again for it. `why`: it stays, because of this."""

    name: str
    before: str
    after: str
    commits: int = 0
    why: str = ""

    @property
    def moves(self) -> bool:
        return not self.why and self.before != self.after


@dataclass(frozen=True)
class Plan:
    """`untracked`: of each working tree, the files that stay on the disk and that git no longer has there.

    `elsewhere`: branches that only the old remote has, with commits that the new one lacks. `notes`: ref -> pairs of objects.
    """

    heads: tuple[Step, ...]
    tags: tuple[Step, ...]
    stashes: tuple[Step, ...]
    entries: tuple[Stash, ...]
    detached: tuple[tuple[Place, Step], ...]
    notes: Mapping[str, tuple[tuple[str, str], ...]]
    untracked: Mapping[str, tuple[str, ...]]
    elsewhere: tuple[Step, ...]
    warnings: tuple[str, ...] = ()
    unsigned: tuple[str, ...] = ()
    tag_objects: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[Step, ...]:
        return (*self.heads, *self.tags, *self.stashes, *(step for _, step in self.detached))

    @property
    def left(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.why)


class Planner:
    def __init__(self, clone: Clone, known: CommitMap, replay: Replay) -> None:
        self._clone, self._git, self._map, self._replay = clone, clone.git, known, replay
        self._refs, self._peeled = clone.git.refs(), clone.git.peeled()
        links = clone.git.text("for-each-ref", "--format=%(symref) %(refname)").split("\n")
        self._links = {name for target, _, name in (line.partition(" ") for line in links) if target}
        self._now = {name.removeprefix(AFTER): oid for name, oid in self._refs.items() if name.startswith(AFTER)}
        self._entries = stashes(clone.git)

    def plan(self) -> Plan:
        self._replay.run(self._tips())
        tag_steps, objects, warnings = self._tags()
        return Plan(
            heads=tuple(self._step(name, self._refs[name]) for name in self._named("refs/heads/")),
            tags=tag_steps,
            stashes=tuple(self._step(f"stash@{{{at}}}", entry.commit) for at, entry in enumerate(self._entries)),
            entries=tuple(self._entries),
            detached=tuple(
                (each, self._step(f"HEAD of {each.name}", each.head)) for each in self._clone.places if each.head and not each.branch
            ),
            notes=dict(self._notes()),
            untracked=dict(self._untracked()),
            elsewhere=tuple(self._elsewhere()),
            warnings=(*warnings, *self._lfs()),
            unsigned=tuple(self._replay.unsigned),
            tag_objects=objects,
        )

    def _named(self, start: str) -> list[str]:
        return sorted(name for name in self._refs if name.startswith(start) and name not in self._links)

    def _tips(self) -> list[str]:
        found = [
            self._peeled[name][1] for name in self._named("refs/heads/") + self._named("refs/tags/") if self._peeled[name][0] == "commit"
        ]
        return [*found, *(entry.commit for entry in self._entries), *(place.head for place in self._clone.places if place.head)]

    def _step(self, name: str, commit: str) -> Step:
        new = self._replay.new(commit)
        if isinstance(new, Conflict):
            return Step(name, commit, commit, why=f"commit {new.commit[:12]}: {new.text}")
        return Step(name, commit, new, self._count(commit) if new != commit else 0)

    def _count(self, commit: str) -> int:
        """How many of the commits that lead to this one are made again."""
        seen: set[str] = set()
        todo = [commit]
        while todo:
            at = todo.pop()
            if at not in seen and at in self._replay.parents:
                seen.add(at)
                todo += self._replay.parents[at]
        return len(seen & self._replay.replayed.keys())

    def _tags(self) -> tuple[tuple[Step, ...], dict[str, bytes], list[str]]:
        """A tag that the new repository has in the same sense becomes that one; others go along."""
        named = self._named("refs/tags/")
        whole = [self._refs[name] for name in named if self._refs[name] != self._peeled[name][1] and self._peeled[name][0] == "commit"]
        names, made, _ = tags.retagged(self._git, whole, lambda kind, oid: self._of(kind, oid))
        steps, warnings = [], []
        for name in named:
            (kind, peeled), oid, there = self._peeled[name], self._refs[name], self._now.get(name.removeprefix("refs/"), "")
            if kind != "commit":
                steps.append(Step(name, oid, there or oid))
                continue
            step = self._step(name, peeled)
            new = step.after if oid == peeled else names[oid]
            steps.append(Step(name, oid, oid if step.why else new, step.commits, step.why))
            if there and not step.why and there != new:
                warnings.append(f"{name} is not what the new repository has under that name ({there[:12]}); yours goes along")
        return tuple(steps), made, warnings

    def _of(self, kind: str, oid: str) -> str:
        new = self._replay.new(oid) if kind == "commit" else oid
        return new if isinstance(new, str) else oid

    def _notes(self) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
        """Notes on what has another name now are copied there; the old ones stay where they are."""
        for name in self._named("refs/notes/"):
            there = dict(line.split(" ")[::-1] for line in self._git.ask("notes", f"--ref={name}", "list").splitlines())
            pairs = [(oid, self._replay.replayed.get(oid) or self._map.names.get(oid, oid)) for oid in there]
            wanted = tuple(sorted((old, new) for old, new in pairs if new != old and new not in there))
            if wanted:
                yield name, wanted

    def _untracked(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for place in self._clone.places:
            removed = self._replay.removed(place.head) if place.head and place.index else {}
            if removed:
                found = in_index(place, removed)
                yield place.name, tuple(path.decode("utf-8", "surrogateescape") for path in sorted(found))

    def _lfs(self) -> Iterator[str]:
        pattern = rf"^(lfs\.(push)?url|remote\.{re.escape(self._clone.remote)}\.lfs(push)?url)$"
        for key in self._git.ask("config", "--name-only", "--get-regexp", pattern).splitlines():
            yield f"{key} still names the LFS server of before: `git config {key} URL`, or --unset"

    def _elsewhere(self) -> Iterator[Step]:
        for name in self._named(f"refs/remotes/{self._clone.remote}/"):
            oid = self._refs[name]
            if self._replay.is_local(oid) and oid not in self._replay.parents:
                yield Step(name, oid, oid)


def in_index(place: Place, removed: Mapping[tuple[bytes, str], object]) -> dict[bytes, str]:
    found = {}
    for line in place.git.run("ls-files", "--stage", "-z", GIT_INDEX_FILE=place.index).split(b"\0")[:-1]:
        what, _, path = line.partition(b"\t")
        _, blob, stage = what.decode().split(" ")
        if stage == "0" and (path, blob) in removed:
            found[path] = blob
    return found


def taken_blobs(git: Git) -> frozenset[str]:
    """Blobs that nothing in the new history has any more, as every slimming wrote down."""
    found = set()
    for name in git.ask("ls-tree", "-r", "--name-only", MAP_REF).splitlines():
        if name.endswith("/objects.jsonl"):
            lines = git.run("cat-file", "blob", f"{MAP_REF}:{name}").splitlines()
            found |= {entry["blob"] for entry in map(json.loads, lines) if entry["kind"] == "blob" and entry["gone"]}
    return frozenset(found)


def kept_refs(clone: Clone, entries: tuple[Stash, ...]) -> dict[str, str]:
    """Every ref of before, under the name that it is kept by."""
    ours = (BEFORE, AFTER, MAP_REF)
    found = {
        BEFORE + name.removeprefix("refs/"): oid
        for name, oid in clone.git.refs().items()
        if not name.startswith(ours) and name != "refs/stash"
    }
    found |= {f"{BEFORE}stash/{at}": entry.commit for at, entry in enumerate(entries)}
    for at, place in enumerate(clone.places):
        if place.head:
            found[f"{BEFORE}HEAD/{at}"] = place.head
    return found
