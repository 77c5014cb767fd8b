"""Tag objects and tagged trees, which git-filter-repo knows only in part: made anew here, byte by byte."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from repo_slim.files import remove
from repo_slim.git import Git, Objects

_SIGNATURE = re.compile(rb"^-----BEGIN (?:PGP SIGNATURE|PGP MESSAGE|SSH SIGNATURE|SIGNED MESSAGE)-----", re.MULTILINE)
_HEADER = re.compile(rb"^gpgsig[^\n]*\n(?: [^\n]*\n)*", re.MULTILINE)


def retagged(git: Git, tags: Iterable[str], renamed: Callable[[str, str], str]) -> tuple[dict[str, str], dict[str, bytes], list[str]]:
    """Old tag -> new one; the new ones' contents; and old tags whose signature is dropped.

    `renamed(kind, name)` gives the new name of a commit, tree or blob. A tag of something unchanged stays as it is, signature and all.
    """
    names: dict[str, str] = {}
    made: dict[str, bytes] = {}
    unsigned: list[str] = []
    with Objects(git) as objects:

        def visit(oid: str) -> str:
            if oid in names:
                return names[oid]
            data = objects.read(oid)[1]
            target, kind = data[7:47].decode(), data[48 : data.index(b"\n", 48)].removeprefix(b"type ").decode()
            new = visit(target) if kind == "tag" else renamed(kind, target)
            names[oid] = oid
            if new != target:
                plain = without_signature(data)
                if plain != data:
                    unsigned.append(oid)
                plain = b"object " + new.encode() + plain[47:]
                names[oid] = name_of("tag", plain)
                made[names[oid]] = plain
            return names[oid]

        for oid in tags:
            visit(oid)
    return names, made, unsigned


def without_signature(tag: bytes) -> bytes:
    head, split, body = tag.partition(b"\n\n")
    found = _SIGNATURE.search(body)
    return _HEADER.sub(b"", head + b"\n").rstrip(b"\n") + split + (body[: found.start()] if found else body)


def name_of(kind: str, data: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


def write_objects(git: Git, kind: str, made: Mapping[str, bytes], folder: Path) -> None:
    """Writes objects by their names, in one process of git."""
    if not made:
        return
    remove(folder)
    folder.mkdir(parents=True)
    for name, data in made.items():
        (folder / name).write_bytes(data)
    paths = "".join(f"{folder / name}\n" for name in made).encode()
    written = git.text("hash-object", "-t", kind, "-w", "--literally", "--no-filters", "--stdin-paths", stdin=paths).split()
    assert written == list(made), "git names objects otherwise than expected"
    remove(folder)


def tree_without(git: Git, tree: str, instead: Callable[[bytes, str, str], str | None], index: Path) -> str:
    """A tree in which each file is what `instead(path, mode, blob)` says: the same blob, another one, or None for no file."""
    index.unlink(missing_ok=True)
    git.run("read-tree", tree, GIT_INDEX_FILE=str(index))
    lines = []
    for line in git.run("ls-tree", "-r", "-z", "--full-tree", tree).split(b"\0"):
        if line:
            what, _, path = line.partition(b"\t")
            mode, kind, blob = what.decode().split(" ")
            new = instead(path, mode, blob) if kind == "blob" else blob
            if new != blob:
                lines.append(f"{mode if new else '0'} {new or '0' * 40}\t".encode() + path)
    git.run("update-index", "-z", "--index-info", stdin=b"".join(line + b"\0" for line in lines), GIT_INDEX_FILE=str(index))
    made = git.text("write-tree", GIT_INDEX_FILE=str(index))
    index.unlink(missing_ok=True)
    return made
