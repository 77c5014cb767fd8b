"""Stage one: a mirror of the source, all refs of it. The source is only read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from repo_slim import process
from repo_slim.errors import MovedError, ProcessError, SourceError
from repo_slim.files import aside_of, digest, remove
from repo_slim.git import Git
from repo_slim.text import last_words


@dataclass(frozen=True, slots=True)
class Listing:
    """What a repository has: refs by name, and what HEAD is (a ref's name, or a commit)."""

    refs: dict[str, str]
    head: str

    @property
    def hash(self) -> str:
        """Of all of it: the same exactly as long as nothing moved."""
        return digest(self.head, *(f"{oid} {name}" for name, oid in sorted(self.refs.items())))


def list_remote(url: str) -> Listing:
    """Asks the repository itself. Raises SourceError when it does not answer."""
    done = process.run(["git", "ls-remote", "--symref", "--", url], check=False)
    if done.returncode:
        text = f"{url} is no repository that can be read: {last_words(done.stderr)}"
        raise SourceError(text, "name a path or a URL that `git ls-remote` can list")
    refs, head, detached = {}, "", ""
    for line in os.fsdecode(done.stdout).splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: "):
            head = value[5:] if name == "HEAD" else head
        elif name == "HEAD":
            detached = value
        elif not name.endswith("^{}"):
            refs[name] = value
    return Listing(refs, head or detached)


def list_source(url: str) -> Listing:
    """The same, and SourceError when there is nothing in it."""
    found = list_remote(url)
    if not found.refs:
        raise SourceError(f"{url} has no commits", "name a repository that has some")
    return found


def full_url(source: str) -> str:
    """A path as an absolute one: git is started in other directories. URLs, and `host:path`, as they are."""
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() or ":" not in source else source


def mirror(source: str, directory: Path) -> Listing:
    """Makes or refreshes the mirror, and returns what it has.

    Raises MovedError when the source moves while it is copied, SourceError when it cannot be slimmed.
    """
    wanted = list_source(source)
    if not _refreshed(source, directory):
        _cloned(source, directory)
    git = Git(directory)
    if wanted.head.startswith("refs/"):
        git.set_head(wanted.head)
    found = Listing(git.refs(), wanted.head)
    if found.refs != wanted.refs:
        raise MovedError(f"{source} changed while it was copied", "wait until nobody pushes, then run it again")
    _check(git, source)
    return found


def _refreshed(source: str, directory: Path) -> bool:
    git = Git(directory)
    if not (directory / "HEAD").is_file() or git.ask("config", "remote.origin.url") != source:
        return False
    try:
        git.run("fetch", "--quiet", "--prune", "--no-write-fetch-head", "origin", "+refs/*:refs/*")
    except ProcessError:  # such as for a lock that a killed git left; a new clone says what else is wrong
        return False
    return True


def _cloned(source: str, directory: Path) -> None:
    """Copies, no hard links: git touches the times of what it has, and the source is not to be touched."""
    aside = aside_of(directory)
    process.run(["git", "clone", "--quiet", "--mirror", "--no-hardlinks", "--template=", "--", source, str(aside)])
    for mark in (aside / "objects" / "pack").glob("*.promisor"):  # git would never drop what such a pack holds; whether it is whole is seen
        mark.unlink()
    remove(directory)
    aside.rename(directory)


def _check(git: Git, source: str) -> None:
    """What cannot be slimmed without loss is refused before anything else is done."""
    if git.ask("rev-parse", "--show-object-format") not in ("sha1", ""):
        raise SourceError(f"{source} names its objects by sha256", "only repositories with sha1 names can be slimmed")
    if git.ask("rev-parse", "--is-shallow-repository") == "true":
        raise SourceError(
            f"{source} is a shallow clone: it lacks history", "`git fetch --unshallow` there, or name the repository it came from"
        )
    if _promised(source):
        raise SourceError(f"{source} is a partial clone: it lacks files", "name the repository that it came from")
    if any(name.startswith("refs/replace/") for name in git.refs()):
        raise SourceError(f"{source} has replaced objects (refs/replace)", "delete them there, or make them permanent with git-filter-repo")
    if (
        git.run("rev-list", "--max-count=1", "HEAD", "--not", "--glob=refs/*")
        if git.ask("rev-parse", "--verify", "--quiet", "HEAD")
        else b""
    ):
        raise SourceError(f"HEAD of {source} is a commit that no branch has", "give it a branch there: `git branch NAME`")


def _promised(source: str) -> bool:
    return Path(source).is_dir() and bool(Git(Path(source)).ask("config", "--local", "--get-regexp", r"^remote\..*\.promisor$"))
