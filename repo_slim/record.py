"""Stage seven: what a later reader needs, in the archive and under `refs/builder/commit-map`. Formats: docs/reference/slim-archive.md.

    commit-map                      `old new`, a line for every commit, sorted
    runs/<approved hash>/plan.toml, report.json, objects.jsonl, commits.jsonl

The ref's commit has those files; a second slimming keeps the earlier runs, and its map leads from their old names, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repo_slim.archive import Entry, to_lines
from repo_slim.errors import DamagedError
from repo_slim.files import aside_of, canonical, json_lines, remove
from repo_slim.git import Git
from repo_slim.history import FILE, SUBMODULE, steps
from repo_slim.rewrite import MAP_REF
from repo_slim.selection import Selection
from repo_slim.stores import Store, hash_of
from repo_slim.tags import name_of, write_objects

SCHEMA = 1
_PERSON = {"GIT_AUTHOR_NAME": "slim-repo", "GIT_AUTHOR_EMAIL": "slim-repo@localhost"}
_PERSON |= {"GIT_COMMITTER_NAME": "slim-repo", "GIT_COMMITTER_EMAIL": "slim-repo@localhost"}


@dataclass(frozen=True)
class Record:
    """`files`: name -> content, of this run. `commit_map`: old -> new, through all slimmings."""

    run: str
    files: Mapping[str, bytes]
    commit_map: Mapping[str, str]

    @property
    def map_lines(self) -> bytes:
        return "".join(f"{old} {new}\n" for old, new in sorted(self.commit_map.items())).encode()


def make(
    mirror: Git,
    run: str,
    plan: bytes,
    report: Mapping[str, Any],
    selection: Selection,
    entries: Iterable[Entry],
    commits: Mapping[str, str],
) -> Record:
    """Everything about one slimming, the same wherever it is made."""
    files = {
        "plan.toml": plan,
        "report.json": canonical(report) + b"\n",
        "objects.jsonl": to_lines(entries),
        "commits.jsonl": json_lines(removals(mirror, selection, commits)),
    }
    return Record(run, files, {**_earlier(mirror, commits), **commits})


def removals(mirror: Git, selection: Selection, commits: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """For each commit what is taken out of its tree, told by the difference to its first parent; parents come first.

    `gone`: path and blob that this commit adds to what its first parent lacks, and the mode where it is not 100644; `back`: paths that it
    takes from it.
    """
    for step in steps(mirror):
        line: dict[str, Any] = {"old": step.commit, "new": commits[step.commit], "parent": step.parents[0] if step.parents else ""}
        gone, back = [], []
        for path, before, old, after, new in step.changes:
            is_out = after != SUBMODULE and path in selection.removed.get(new, ())
            was_out = before != SUBMODULE and path in selection.removed.get(old, ())
            if is_out:
                gone.append([path.decode("utf-8", "surrogateescape"), new, *([after] if after != FILE else [])])
            elif was_out:
                back.append(path.decode("utf-8", "surrogateescape"))
        yield line | ({"gone": gone} if gone else {}) | ({"back": back} if back else {})


def _earlier(mirror: Git, commits: Mapping[str, str]) -> dict[str, str]:
    """The map of slimmings before this one, led on to the names of now."""
    text = mirror.ask("cat-file", "blob", f"{MAP_REF}:commit-map")
    return {old: commits.get(new, new) for old, _, new in (line.partition(" ") for line in text.splitlines())}


def write_ref(git: Git, mirror: Git, record: Record, date: int) -> str:
    """Makes the commit, and sets the ref. `date`: seconds since 1970; the same input gives the same commit."""
    folder = git.directory / "slim-objects"
    files = {**{f"runs/{record.run}/{name}": data for name, data in record.files.items()}, "commit-map": record.map_lines}
    write_objects(git, "blob", {name_of("blob", data): data for data in files.values()}, folder)
    index = aside_of(git.directory / "slim-index")
    before = mirror.refs().get(MAP_REF, "")
    if before:
        _copy_objects(mirror, git, before)
        git.run("read-tree", before, GIT_INDEX_FILE=str(index))
    lines = "".join(f"100644 {name_of('blob', data)}\t{name}\0" for name, data in files.items())
    git.run("update-index", "-z", "--index-info", stdin=lines.encode(), GIT_INDEX_FILE=str(index))
    tree = git.text("write-tree", GIT_INDEX_FILE=str(index))
    remove(index)
    dates = {"GIT_AUTHOR_DATE": f"{date} +0000", "GIT_COMMITTER_DATE": f"{date} +0000"}
    parents = ["-p", before] if before else []
    text = f"Map old commits to new ones\n\nslim-repo {record.run}\n".encode()
    commit = git.text("commit-tree", tree, *parents, stdin=text, **_PERSON, **dates)
    git.set_refs({MAP_REF: commit})
    return commit


def _copy_objects(mirror: Git, git: Git, commit: str) -> None:
    pack = mirror.run("pack-objects", "--revs", "--stdout", "-q", stdin=f"{commit}\n".encode())
    git.run("index-pack", "--stdin", stdin=pack)


def manifest_key(run: str, name: str = "manifest.json") -> str:
    """Where the files of a run lie below the archive's root."""
    return f"archive/runs/{run}/{name}"


def write_archive(store: Store, record: Record, entries: Sequence[Entry], spool: Path) -> str:
    """Puts the record beside the objects, `manifest.json` last: whoever sees it finds everything. Returns its key."""
    files = {**record.files, "commit-map": record.map_lines}
    described = {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()}
    total = {"objects": len(entries), "bytes": sum({entry.sha256: entry.size for entry in entries}.values())}
    manifest = canonical({"schema": SCHEMA, "run": record.run, "files": described, **total}) + b"\n"
    spool.mkdir(parents=True, exist_ok=True)
    for name, data in [*files.items(), ("manifest.json", manifest)]:
        _put(store, manifest_key(record.run, name), data, spool)
    remove(spool)
    return manifest_key(record.run)


def _put(store: Store, key: str, data: bytes, spool: Path) -> None:
    sha256 = hashlib.sha256(data).hexdigest()
    if store.size(key) == len(data) and hash_of(store, key) == sha256:
        return
    path = spool / "record"
    path.write_bytes(data)
    store.put(key, path, sha256)
    if hash_of(store, key) != sha256:
        raise DamagedError(f"{store.name}/{key} is not what was written", "look at the archive's disk or bucket, then run it again")


class Removals:
    """`commits.jsonl` of one run, read. Raises ValueError, KeyError or TypeError on what is none."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._known = {line["old"]: line for line in map(json.loads, lines)}
        self._old = {line["new"]: old for old, line in self._known.items()}

    def old_name(self, new: str) -> str | None:
        """Of which commit this one is what is left; None when it is of none."""
        return self._old.get(new)

    def of(self, old: str) -> dict[str, tuple[str, str]]:
        """Path -> mode and blob of what was taken out of one old commit. Raises KeyError when there is no such commit."""
        chain, at = [], old
        while at:
            chain.append(self._known[at])
            at = chain[-1]["parent"]
        found: dict[str, tuple[str, str]] = {}
        for line in reversed(chain):
            for path in line.get("back", ()):
                found.pop(path, None)
            found.update({path: (mode[0] if mode else FILE, blob) for path, blob, *mode in line.get("gone", ())})
        return found


def removed_from(lines: Iterable[bytes], old: str) -> dict[str, str]:
    """From `commits.jsonl`: path -> blob of what was taken out of one old commit. Raises KeyError when it has no such commit."""
    return {path: blob for path, (_, blob) in Removals(lines).of(old).items()}
