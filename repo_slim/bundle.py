"""Stage eight: the original history in one file, from which everything can be undone."""

from __future__ import annotations

from pathlib import Path

from repo_slim import process
from repo_slim.errors import VerifyError
from repo_slim.files import aside_of, digest, remove
from repo_slim.git import Git


def name_for(source: str) -> str:
    """Named after what the source was (the hash of its refs): the bundle of another history never takes its place."""
    return f"original-{source[:8]}.bundle"


def write_bundle(mirror: Git, path: Path) -> int:
    """Writes it aside, restores all of it once, compares the refs, and gives it its name. Returns its bytes."""
    aside, trial = aside_of(path), aside_of(path, "trial")
    head = ["HEAD"] if mirror.ask("rev-parse", "--verify", "--quiet", "HEAD") else []
    mirror.run("-c", "pack.window=0", "bundle", "create", "--quiet", str(aside.resolve()), "--all", *head)
    restore(aside, trial)
    if Git(trial).refs() != mirror.refs():
        raise VerifyError(f"{aside} does not restore the refs of the source", "run it again; if it stays so, report this")
    remove(trial)
    aside.replace(path)
    return path.stat().st_size


def restore(bundle: Path, directory: Path) -> None:
    """A mirror of what the bundle has: what `git clone --mirror` of it gives."""
    process.run(["git", "clone", "--quiet", "--mirror", "--template=", "--", str(bundle.resolve()), str(directory)])


def fingerprint(git: Git) -> str:
    return digest(*(f"{oid} {name}" for name, oid in sorted(git.refs().items())))
