"""Commits that no remote has, in the data root, `bundles/<sha>`: so that a colleague can run, or look at, what somebody else ran."""

from __future__ import annotations

import hashlib
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from builder.data.interface import Objects
from builder.data.turns import announced
from builder.errors import BuilderError, RevisionError
from builder.model.tree import Commit
from builder.source.bundle import is_only_here, take_bundle, write_bundle
from builder.source.repository import Git

FOLDER = "bundles"
_SHA = re.compile(r"(?:wip-)?([0-9a-f]{4,40})\Z")


def send(git: Git, objects: Objects, commit: Commit) -> bool:
    """Writes the commit's bundle, unless a remote has the commit. Whether the data root did not have it."""
    if not is_only_here(git, commit):
        return False
    key = f"{FOLDER}/{commit.sha}"
    with tempfile.TemporaryDirectory(prefix="builder-bundle-") as scratch:
        path = Path(scratch) / "bundle"
        write_bundle(git, commit, path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if objects.put_file(key, path, sha256, new=True):
            return True
        with announced(objects, (commit.sha.encode(),)):  # it is old, and may be about to be cleared away
            objects.put_file(key, path, sha256)
    return False


def find(git: Git, objects: Objects, revision: str) -> Commit | None:
    """A commit that this clone does not know by that name: one that somebody ran, and that no remote has.

    `wip-1234abc`, as `builder run` calls a changed tree, is one of these, or of this clone's own. Raises RevisionError, SourceError.
    """
    match = _SHA.match(revision)
    found = _sent(objects, match[1]) if match else []
    if match and not found and revision.startswith("wip-"):
        return git.resolve(match[1])
    if len(found) > 1:
        raise RevisionError(f"{revision} may be any of {', '.join(sorted(sha[:12] for sha in found))}", "write more of it")
    return _take(git, objects, found[0]) if found else None


def _sent(objects: Objects, digits: str) -> list[str]:
    """The commits in the data root whose names begin so. A root that cannot be read has none: the revision is what is wrong, then."""
    with suppress(BuilderError):
        return [found.key.rpartition("/")[2] for found in objects.list(f"{FOLDER}/{digits}")]
    return []


def _take(git: Git, objects: Objects, sha: str) -> Commit:
    with tempfile.TemporaryDirectory(prefix="builder-bundle-") as scratch:
        path = Path(scratch) / "bundle"
        path.write_bytes(objects.get(f"{FOLDER}/{sha}") or b"")
        return take_bundle(git, path, sha)
