"""Stage five: the new history, in a throw-away repository that borrows the mirror's objects until it has its own.

Only what git-filter-repo must do is given to it: one ref for each commit that any ref leads to. Refs, tag objects, tagged trees and notes
are set from the map of commits afterwards. Killed in between, the repository is thrown away and made again: the result is the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from repo_slim import notes, process, tags
from repo_slim.archive import Entry
from repo_slim.errors import SourceError
from repo_slim.files import aside_of, link_or_copy, remove
from repo_slim.git import Git
from repo_slim.history import SYMLINK, steps
from repo_slim.lfs import place
from repo_slim.selection import Selection

MAP_REF = "refs/builder/commit-map"
_TIPS, _NOTES = "refs/slim-tips/", "refs/slim-notes/"


@dataclass(frozen=True)
class Rewritten:
    """`commits`: every old commit -> its new name. `refs` are the new ones. `unsigned`: old tags that lost their signature."""

    commits: Mapping[str, str]
    refs: Mapping[str, str]
    unsigned: tuple[str, ...]


def placeholder(sha256: str, size: int) -> bytes:
    """What stands where a file was, when the plan asks for it."""
    return f"removed from the history by slim-repo; it is in the archive\nsha256 {sha256}\nsize {size}\n".encode()


def rewrite(mirror: Git, target: Path, selection: Selection, entries: Iterable[Entry], *, placeholders: bool) -> Rewritten:
    """Makes `target`, whole or not at all."""
    aside = aside_of(target)
    remove(target)
    git = _borrowing(mirror, aside)
    instead = _placeholders(git, entries, aside / "slim-objects") if placeholders else {}
    made = _Rewrite(mirror, git, selection, instead).run()
    _own(git)
    aside.rename(target)
    return made


class _Rewrite:
    def __init__(self, mirror: Git, git: Git, selection: Selection, instead: Mapping[str, str]) -> None:
        self._mirror, self._git, self._selection, self._instead = mirror, git, selection, instead
        self._refs = {name: oid for name, oid in mirror.refs().items() if name != MAP_REF}
        self._peeled = {name: found for name, found in mirror.peeled().items() if name != MAP_REF}
        self._trees: dict[str, str] = {}

    def run(self) -> Rewritten:
        commits = self._files()
        names, unsigned = self._tags(commits)
        commits |= self._notes({**commits, **names})
        refs = {name: self._new(commits, names, name) for name in self._refs}
        self._git.set_refs(refs, gone=[name for name in self._git.refs() if name.startswith((_TIPS, _NOTES))])
        head = self._mirror.head()
        self._git.set_head(head if head.startswith("refs/") else commits.get(head, ""))
        return Rewritten(commits, refs, tuple(unsigned))

    def _files(self) -> dict[str, str]:
        """Gives the ordinary history to git-filter-repo."""
        wanted = {oid for name, (kind, oid) in self._peeled.items() if kind == "commit" and not name.startswith("refs/notes/")}
        head = self._mirror.head()
        wanted |= {head} if head and not head.startswith("refs/") else set()
        self._git.set_refs({f"{_TIPS}{number}": oid for number, oid in enumerate(sorted(wanted))})
        triples = ((blob.encode(), path, self._instead.get(blob, "").encode()) for blob, path in self._selection.pairs())
        return self._filter([field for triple in triples for field in triple])

    def _notes(self, names: Mapping[str, str]) -> dict[str, str]:
        """Notes are kept under the names of what they are on."""
        tips = {oid: f"{_NOTES}{number}" for number, oid in enumerate(sorted(self._note_refs().values()))}
        if not tips:
            return {}
        for ref, oid in self._note_refs().items():
            self._check_notes(ref, oid, names)
        self._git.set_refs({ref: oid for oid, ref in tips.items()})
        return notes.rename(self._git, tips.values(), {old: new for old, new in names.items() if old != new})

    def _note_refs(self) -> dict[str, str]:
        return {name: oid for name, (kind, oid) in self._peeled.items() if kind == "commit" and name.startswith("refs/notes/")}

    def _check_notes(self, ref: str, tip: str, names: Mapping[str, str]) -> None:
        """Two commits that differ only in what is removed become one, on which there is room for one note of a ref."""
        known: dict[str, str] = {}
        for step in steps(self._mirror, tip):
            for path, *_ in step.changes:
                old = path.replace(b"/", b"").decode("ascii", "replace")
                if old in names and known.setdefault(names[old], old) != old:
                    text = f"{old} and {known[names[old]]} differ only in what is removed: they become one, and both have notes in {ref}"
                    raise SourceError(text, "take one of the notes away in the source, or keep what tells the two commits apart")

    def _filter(self, fields: Iterable[bytes]) -> dict[str, str]:
        directory = self._git.directory
        job, metadata = directory / "slim-job", directory / "filter-repo"
        job.write_bytes(b"".join(field + b"\0" for field in fields))
        process.run([sys.executable, "-m", "repo_slim.filter_main", job.name], cwd=directory, env=_where_we_are())
        lines = (metadata / "commit-map").read_text("ascii").splitlines()[1:]
        remove(metadata)
        job.unlink()
        return dict(line.split() for line in lines)

    def _tags(self, commits: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """Makes tag objects and tagged trees; returns the new names of the tags."""
        targets = [oid for name, oid in self._refs.items() if oid != self._peeled[name][1]]

        def renamed(kind: str, oid: str) -> str:
            return commits[oid] if kind == "commit" else self._tree(oid) if kind == "tree" else oid

        names, made, unsigned = tags.retagged(self._mirror, targets, renamed)
        tags.write_objects(self._git, "tag", made, self._git.directory / "slim-objects")
        return names, unsigned

    def _tree(self, tree: str) -> str:
        if tree not in self._trees:
            self._trees[tree] = tags.tree_without(self._git, tree, self._file, self._git.directory / "slim-index")
        return self._trees[tree]

    def _file(self, path: bytes, mode: str, blob: str) -> str | None:
        if path not in self._selection.removed.get(blob, ()):
            return blob
        return self._instead.get(blob) if mode != SYMLINK else None

    def _new(self, commits: Mapping[str, str], names: Mapping[str, str], name: str) -> str:
        oid, (kind, peeled) = self._refs[name], self._peeled[name]
        if oid != peeled:
            return names[oid]
        return commits[oid] if kind == "commit" else self._tree(oid) if kind == "tree" else oid


def _borrowing(mirror: Git, directory: Path) -> Git:
    process.run(["git", "init", "--quiet", "--bare", "--template=", str(directory)])
    (directory / "objects" / "info").mkdir(exist_ok=True)
    (directory / "objects" / "info" / "alternates").write_bytes(os.fsencode(mirror.directory.resolve() / "objects") + b"\n")
    return Git(directory)


def _placeholders(git: Git, entries: Iterable[Entry], folder: Path) -> dict[str, str]:
    """Blob -> the blob that takes its place."""
    texts = {entry.blob: placeholder(entry.sha256, entry.size) for entry in entries if entry.kind == "blob"}
    tags.write_objects(git, "blob", {tags.name_of("blob", text): text for text in texts.values()}, folder)
    return {blob: tags.name_of("blob", text) for blob, text in texts.items()}


def _own(git: Git) -> None:
    """Copies what it still borrows into one pack, and lets the mirror go."""
    git.run("repack", "-a", "-d", "-q", "--no-write-bitmap-index")
    (git.directory / "objects" / "info" / "alternates").unlink()
    git.run("prune-packed", "-q")
    git.run("prune", "--expire=now")


def bring_lfs(mirror: Git, git: Git, oids: Iterable[str]) -> None:
    """LFS objects that tips still point to go along."""
    for oid in oids:
        source = place(mirror.directory / "lfs" / "objects", oid)
        if source.is_file():
            link_or_copy(source, place(git.directory / "lfs" / "objects", oid))


def _where_we_are() -> dict[str, str]:
    """So that the other Python finds this library, wherever it was imported from."""
    here = str(Path(__file__).resolve().parents[1])
    return {"PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH", ""))))}
