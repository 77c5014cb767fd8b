"""A clone as it is found: its remote, its working trees, its stashes; and the reasons not to touch it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repo_slim import process
from repo_slim.commit_map import common
from repo_slim.errors import AskedError
from repo_slim.git import Git
from repo_slim.sizes import partial

BEFORE, AFTER = "refs/builder/before-slim/", "refs/builder/after-slim/"
"""Where every ref of before is kept, and where the new remote's refs are while the clone is moved."""
_UNDER_WAY = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or `git am`",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisection",
    "sequencer": "a cherry-pick or revert of several commits",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A HEAD and an index: the main working tree, or a linked one, which may be on a disk that is not there now.

    `branch` is empty where HEAD is detached, `head` where there is no commit yet, `index` where there is no working tree.
    """

    name: str
    git: Git
    head: str
    branch: str
    index: str


@dataclass(frozen=True, slots=True)
class Stash:
    """One entry of `git stash list`: its commit, what it says, and who made it when (`@seconds zone`)."""

    commit: str
    message: str
    name: str
    email: str
    date: str


@dataclass(frozen=True, slots=True)
class Clone:
    """`directory` is the one that all working trees share. `lacks`: it is partial or shallow, so not all objects are there."""

    git: Git
    directory: Path
    remote: str
    url: str
    places: tuple[Place, ...]
    lacks: bool

    @property
    def folder(self) -> Path:
        """Where what is remembered of the move lies."""
        return self.directory / "builder" / "before-slim"


def find(directory: Path) -> Clone:
    """Raises AskedError when it is no clone, or one that cannot be moved as it is now."""
    done = process.run(["git", "-C", str(directory), "rev-parse", "--absolute-git-dir"], check=False)
    if done.returncode:
        raise AskedError(f"{directory} is no git repository", "name a clone of the repository of before")
    git = Git(directory)
    remote = _remote(git)
    lacks = git.ask("rev-parse", "--is-shallow-repository") == "true" or bool(partial(git))
    shared = common(git)
    url = git.ask("config", "--get-all", f"remote.{remote}.url").partition("\n")[0]  # it is the first that git fetches from
    return Clone(git, shared, remote, url, tuple(_places(git, shared)), lacks)


def _remote(git: Git) -> str:
    names = git.ask("remote").splitlines()
    if "origin" not in names and len(names) != 1:
        which = f"of {', '.join(names)} none is origin" if names else "it has no remote"
        raise AskedError(f"{git.directory} cannot be moved: {which}", "name the one of the old repository origin: git remote rename")
    name = "origin" if "origin" in names else names[0]
    for spec in _specs(git, name):
        target = spec.rpartition(":")[2]
        if target.startswith(("refs/*", "refs/heads/", "refs/builder/*")) or target == "refs/heads":
            raise AskedError(f"{git.directory} is a mirror: {name} overwrites its branches ({spec})", "clone the new repository instead")
    return name


def _specs(git: Git, remote: str) -> list[str]:
    return git.ask("config", "--get-all", f"remote.{remote}.fetch").splitlines()


def fetched_specs(clone: Clone) -> list[str]:
    """What a plain `git fetch` brings, as `+refs/heads/*:refs/remotes/origin/*`."""
    return _specs(clone.git, clone.remote)


def _places(git: Git, shared: Path) -> Iterator[Place]:
    for block in git.text("worktree", "list", "--porcelain").split("\n\n"):
        said = dict(line.partition(" ")[::2] for line in block.split("\n"))
        path = Path(said["worktree"])
        where = Git(path) if path.is_dir() else _elsewhere(shared, path)
        if where:
            head, branch = where.ask("rev-parse", "--verify", "--quiet", "HEAD"), where.ask("symbolic-ref", "--quiet", "HEAD")
            index = "" if "bare" in said else str((where.directory / where.text("rev-parse", "--git-path", "index")).absolute())
            yield Place(str(path), where, head, branch, index)


def _elsewhere(shared: Path, tree: Path) -> Git | None:
    """The files of a linked working tree whose directory is not there."""
    for said in (shared / "worktrees").glob("*/gitdir"):
        if Path(os.fsdecode(said.read_bytes()).strip()).parent == tree:
            return Git(said.parent)
    return None


def refuse_half_done(clone: Clone) -> None:
    """What is half done keeps names of before where nobody would look for them."""
    for place in clone.places:
        folder = place.git.directory / place.git.text("rev-parse", "--git-dir")
        for name, what in _UNDER_WAY.items():
            if (folder / name).exists():
                raise AskedError(f"{what} is under way in {place.name}", "finish it or abort it, then run this again")
        if place.index and place.git.ask("ls-files", "--unmerged"):
            raise AskedError(f"the index in {place.name} has conflicts", "resolve them, then run this again")


def stashes(git: Git) -> list[Stash]:
    """The newest first, as git counts them."""
    if not git.ask("rev-parse", "--verify", "--quiet", "refs/stash"):
        return []
    form = "%H%x00%gs%x00%gn%x00%ge%x00%gd"
    lines = git.text("log", "-g", "--no-show-signature", "--date=raw", f"--format={form}", "refs/stash", "--").split("\n")
    return [_stash(*line.split("\0")) for line in lines]


def _stash(commit: str, message: str, name: str, email: str, selector: str) -> Stash:
    return Stash(commit, message, name, email, "@" + selector.partition("@{")[2].rstrip("}"))
