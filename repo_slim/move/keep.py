"""What is kept of before: every ref under `refs/builder/before-slim/`, the configuration, and a bundle. Nothing kept is ever changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repo_slim import process
from repo_slim.errors import DamagedError, ProcessError, SlimError
from repo_slim.files import remove, write_whole
from repo_slim.git import NOTHING, Git
from repo_slim.move.clone import AFTER, BEFORE, Clone
from repo_slim.rewrite import MAP_REF

BUNDLE = "original.bundle"


@dataclass
class Memory:
    """`state.json`: whether all of before is kept, the remote's URL then, and which indexes still wait for their new commit."""

    path: Path
    kept: bool = False
    url: str = ""
    pending: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def of(cls, clone: Clone) -> Memory:
        path = clone.folder / "state.json"
        try:
            raw: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            return cls(path)
        except ValueError as error:
            raise SlimError(f"{path} cannot be read: {error}", f"take it away; {BEFORE} is what counts") from error
        return cls(path, raw["kept"], raw["url"], tuple((place, old, new) for place, old, new in raw["pending"]))

    def write(self) -> None:
        write_whole(self.path, json.dumps({"kept": self.kept, "url": self.url, "pending": self.pending}, indent=1).encode())


def keep(clone: Clone, memory: Memory, refs: Mapping[str, str]) -> None:
    """Keeps refs, the first time with a bundle of them all. A name that keeps something else already gets a number behind it."""
    set_refs(clone.git, [(name, oid, NOTHING) for name, oid in _free(clone.git.refs(), refs)], "slim-repo: keep it")
    if memory.kept:
        return
    clone.folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(clone.directory / "config", clone.folder / "config")
    write_bundle(clone, clone.folder / BUNDLE)
    memory.kept, memory.url = True, clone.url
    memory.write()


def _free(there: Mapping[str, str], wanted: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    counted = (f"{BEFORE}stash/", f"{BEFORE}HEAD/")  # their numbers change while they move: there it is the commit that counts
    kept = {oid for name, oid in there.items() if name.startswith(counted)}
    for name, oid in wanted.items():
        if name.startswith(counted) and oid in kept:
            continue
        free, number = name, 1
        while there.get(free, oid) != oid:
            number += 1
            free = f"{name}@{number}"
        if free not in there:
            yield free, oid


def set_refs(git: Git, changes: Iterable[tuple[str, str, str]], why: str) -> None:
    """Name, value, value before: all of them, or none. Raises SlimError when a ref is not what it was."""
    lines = "".join(f"update {name}\0{new}\0{old}\0" for name, new, old in changes)
    if not lines:
        return
    try:
        git.run("update-ref", "--no-deref", "-m", why, "--stdin", "-z", stdin=os.fsencode(lines))
    except ProcessError as error:
        text = f"the refs of {git.directory} cannot be changed: {error.stderr.strip()}"
        raise SlimError(text, "if a program was killed, take away the lock that is named; then run this again: it goes on") from error


def write_bundle(clone: Clone, path: Path) -> None:
    """All refs in one file; of a clone that lacks objects only what no remote has. Written aside, looked at, then renamed."""
    aside = path.with_name(f".{path.name}.part")
    remove(aside)
    less = [f"--exclude={pattern}" for pattern in (f"{AFTER}*", MAP_REF)]
    what = [*less, "--all", "HEAD"] if not clone.lacks else [*less, "--all", "--not", "--remotes"]
    if not clone.git.ask("rev-parse", "--verify", "--quiet", "HEAD") and "HEAD" in what:
        what.remove("HEAD")
    done = process.run(["git", "-C", str(clone.git.directory), "bundle", "create", "--quiet", str(aside), *what], check=False)
    if done.returncode and b"empty bundle" in done.stderr:
        return
    if done.returncode:
        remove(aside)
        said = done.stderr.decode("utf-8", "replace").strip()
        raise SlimError(f"the bundle {path} cannot be written: {said}", "make room on the disk, then run this again: it goes on")
    _look_at(clone, aside)
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(path)


def _look_at(clone: Clone, bundle: Path) -> None:
    """It has every ref that is kept, and its pack is whole: a pack ends with the hash of all that is before it."""
    heads = dict(line.split(" ", 1)[::-1] for line in clone.git.text("bundle", "list-heads", str(bundle)).split("\n"))
    missing = [name for name, oid in clone.git.refs().items() if name.startswith(BEFORE) and heads.get(name) != oid]
    if (missing and not clone.lacks) or not _whole(bundle):
        raise DamagedError(f"{bundle} does not have all that it should", "run this again; if it stays so, look at the disk")


def _whole(bundle: Path) -> bool:
    with bundle.open("rb") as file:
        while file.readline() != b"\n":
            pass
        seen, rest = hashlib.sha1(usedforsecurity=False), b""
        while chunk := file.read(1 << 20):
            data = rest + chunk
            seen.update(data[:-20])
            rest = data[-20:]
    return seen.digest() == rest
