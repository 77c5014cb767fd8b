"""Pointers to LFS objects, and the objects themselves. https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from repo_slim import process
from repo_slim.errors import ProcessError, SlimError
from repo_slim.files import link_or_copy
from repo_slim.git import Git, Objects

LEAST, MOST = 100, 1024
"""Bytes of a pointer: git-lfs reads nothing else as one."""
_POINTER = re.compile(
    rb"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize (\d+)\n?\Z"
)

_OID = re.compile(r"\b[0-9a-f]{64}\b")
_LOST = re.compile(r"missing object|not found|not exist|\b404\b", re.IGNORECASE)
"""What git-lfs says of objects that the other side does not have, in a line with their oid."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """What a pointer names: the sha256 of the object, and its size in bytes."""

    oid: str
    size: int


def parse(data: bytes) -> Pointer | None:
    found = _POINTER.match(data) if LEAST <= len(data) < MOST else None
    return Pointer(found[1].decode(), int(found[2])) if found else None


def pointers(git: Git, blobs: Iterable[str]) -> dict[str, Pointer]:
    """Those of the blobs that are pointers."""
    found = {}
    with Objects(git) as objects:
        for blob in blobs:
            pointer = parse(objects.read(blob)[1])
            if pointer is not None:
                found[blob] = pointer
    return found


def place(store: Path, oid: str) -> Path:
    """Where an LFS store (`.git/lfs/objects`) keeps an object."""
    return store / oid[:2] / oid[2:4] / oid


def count(git: Git) -> int:
    """How many objects a bare repository has."""
    return sum(1 for _ in (git.directory / "lfs" / "objects").glob("??/??/*"))


def bring(git: Git, source: str, wanted: Iterable[str]) -> tuple[str, ...]:
    """Brings objects into the mirror, from the source's store or its server; returns the oids that nobody has, sorted."""
    ours = git.directory / "lfs" / "objects"
    missing = sorted(oid for oid in wanted if not place(ours, oid).is_file())
    if missing and Path(source).is_dir():
        _from_disk(_store(Path(source)), ours, missing)
    elif missing:
        _from_server(git)
    return tuple(oid for oid in missing if not place(ours, oid).is_file())


def _from_disk(store: Path, ours: Path, missing: Iterable[str]) -> None:
    for oid in missing:
        if place(store, oid).is_file():
            link_or_copy(place(store, oid), place(ours, oid))


def _store(source: Path) -> Path:
    git = Git(source)
    common = source / git.text("rev-parse", "--git-common-dir")
    storage = git.ask("config", "lfs.storage")
    return (common / storage if storage else common / "lfs") / "objects"


def _from_server(git: Git) -> None:
    if process.run(["git", "lfs", "version"], check=False).returncode:
        raise SlimError("the history has LFS objects, and git-lfs is not installed", "install git-lfs, then run it again")
    try:
        git.run("lfs", "fetch", "--all", "origin")
    except ProcessError as error:  # objects that the server lost are no reason to stop: they are reported
        about = [line for line in error.stderr.splitlines() if _OID.search(line)]
        if not about or not all(_LOST.search(line) for line in about):
            raise
