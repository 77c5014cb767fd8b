"""Commits that no remote has, in the data root, `bundles/<sha>`: so that a colleague can run, or look at, what somebody else ran."""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path

from builder.data.interface import Objects
from builder.errors import RevisionError
from builder.model.tree import Commit
from builder.source.bundle import is_only_here, take_bundle, write_bundle
from builder.source.repository import Git

FOLDER = "bundles"
_SHA = re.compile(r"(?:wip-)?([0-9a-f]{4,40})\Z")


def send(git: Git, objects: Objects, commit: Commit) -> bool:
    """Writes the commit's bundle, unless a remote has the commit, or the data root its bundle. Whether one was written."""
    key = f"{FOLDER}/{commit.sha}"
    if not is_only_here(git, commit) or any(found.key == key for found in objects.list(key)):
        return False
    with tempfile.TemporaryDirectory(prefix="builder-bundle-") as scratch:
        path = Path(scratch) / "bundle"
        write_bundle(git, commit, path)
        return objects.put_file(key, path, hashlib.sha256(path.read_bytes()).hexdigest(), new=True)


def resolve(git: Git, objects: Objects, revision: str) -> Commit:
    """The commit that a revision names: of this clone, else one that somebody ran, and that no remote has.

    `wip-1234abc`, as `builder run` calls a changed tree, is one of these, too. Raises RevisionError, SourceError.
    """
    try:
        return git.resolve(revision)
    except RevisionError:
        match = _SHA.match(revision)
        found = [] if match is None else [found.key.rpartition("/")[2] for found in objects.list(f"{FOLDER}/{match[1]}")]
        if match and revision.startswith("wip-") and not found:
            return git.resolve(match[1])
        if not found:
            raise
    if len(found) > 1:
        raise RevisionError(f"{revision} may be any of {', '.join(sorted(sha[:12] for sha in found))}", "write more of it") from None
    return _take(git, objects, found[0])


def _take(git: Git, objects: Objects, sha: str) -> Commit:
    with tempfile.TemporaryDirectory(prefix="builder-bundle-") as scratch:
        path = Path(scratch) / "bundle"
        path.write_bytes(objects.get(f"{FOLDER}/{sha}") or b"")
        return take_bundle(git, path, sha)
