"""Commits that no remote has, in a file that another clone can take them from (git help bundle)."""

from __future__ import annotations

import os
from pathlib import Path

from builder.errors import ProcessError, SourceError
from builder.model.tree import Commit
from builder.source.repository import Git


def is_only_here(git: Git, commit: Commit) -> bool:
    """Whether no remote has the commit, as far as this clone knows. Where there are no remotes nobody else has a clone: False."""
    if not git.run("for-each-ref", "--count=1", "refs/remotes").stdout:
        return False
    return bool(git.run("rev-list", "--max-count=1", commit.sha, "--not", "--remotes").stdout)


def write_bundle(git: Git, commit: Commit, path: Path) -> None:
    """Writes the commit, and those before it, as far as no remote has them. A bundle needs a ref: it is there for a moment."""
    ref = f"refs/builder/bundle/{commit.sha[:12]}-{os.getpid()}"
    git.run("update-ref", ref, commit.sha)
    try:
        git.run("bundle", "create", "--quiet", str(path.absolute()), ref, "--not", "--remotes")
    finally:
        git.run("update-ref", "-d", ref)


def take_bundle(git: Git, path: Path, sha: str) -> Commit:
    """Brings the commit into this clone, under `refs/builder/wip`: nothing else changes.

    Raises SourceError when this clone lacks what the bundle builds upon, or the file is no bundle of it.
    """
    try:
        heads = git.run("bundle", "list-heads", str(path.absolute())).text.split()
        name = heads[heads.index(sha) + 1]
        options = ["--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no"]
        git.run("fetch", *options, str(path.absolute()), f"+{name}:refs/builder/wip/{sha[:12]}")
    except ProcessError as error:
        text = f"{sha[:12]} is in the data root, and cannot be taken from there: {_last_line(error.stderr)}"
        raise SourceError(text, "`git fetch` first: it builds on commits that this clone lacks") from error
    except ValueError as error:
        raise SourceError(f"the bundle of {sha[:12]} in the data root does not hold it", "it is damaged: delete it") from error
    return git.resolve(sha)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].removeprefix("error: ").removeprefix("fatal: ") if lines else "git does not say why"
