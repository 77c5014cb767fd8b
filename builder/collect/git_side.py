"""What git needs: tips of branches, and tags, of every remote and of this clone; what its worktrees have; snapshots of changed trees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from builder import process
from builder.collect.needs import TIPS, Needs
from builder.errors import BuilderError, ProcessError, SourceError, without_passwords
from builder.model.units import plural
from builder.source.objects import git_environment
from builder.source.repository import Git

_PATIENCE = 120.0  # seconds for a remote
_WIP = "refs/builder/wip/"
_FORGET, _TAKE_OUT = "`git remote remove` forgets one for good", "[gc] remotes in builder.toml names it"
_GENERAL = "Could not read from remote repository."
_KINDS = {"refs/heads/": "branch", "refs/tags/": "tag", _WIP: "snapshot"}


def remote_needs(git: Git, more: Sequence[str]) -> Iterator[Needs]:
    """Of every remote of the clone, and of the URLs in `more`. Raises SourceError naming the one that does not answer."""
    for name in dict.fromkeys([*git.run("remote").text.splitlines(), *more]):
        yield _remote(git, name, _FORGET if name not in more else _TAKE_OUT)


def _remote(git: Git, name: str, way: str) -> Needs:
    argv = ["git", "--git-dir", str(git.git_dir), "ls-remote", "--quiet", "--heads", "--tags", "--", name]
    try:
        listed = process.run(argv, env=git_environment(), timeout=_PATIENCE).text
    except BuilderError as error:
        hint = f"its branches and tags may need what would go: `git ls-remote` asks the same; {way}"
        raise SourceError(f"the remote {name} does not answer: {_what_failed(error)}", hint) from error
    needs, refs, name = Needs(), 0, without_passwords(name)
    for line in listed.splitlines():
        sha, _, ref = line.partition("\t")
        refs += not ref.endswith("^{}")
        _need(needs, sha, ref.removesuffix("^{}"), f" of {name}")
    needs.said.append(f"remote {name}: {plural(refs, 'tip')} of branches and tags")
    return needs


def local_needs(git: Git, since: float) -> Needs:
    """Of this clone alone. Snapshots that were made before `since` (seconds since 1970) need nothing any more."""
    needs = Needs()
    listed = git.run("for-each-ref", "--format=%(objectname) %(*objectname) %(refname)", "refs/heads", "refs/tags", _WIP).text
    for line in listed.splitlines():
        sha, peeled, ref = line.split(" ", 2)
        if not ref.startswith(_WIP) or _changed(git.git_dir, ref) >= since:
            _need(needs, peeled or sha, ref, " here")
    for where, sha in _worktrees(git):
        needs.commit(sha, TIPS, f"HEAD of {where}")
    needs.said.append(f"this clone: {plural(len(needs.commits), 'commit')}")
    return needs


def _need(needs: Needs, sha: str, ref: str, where: str) -> None:
    prefix = next((prefix for prefix in _KINDS if ref.startswith(prefix)), "")
    if prefix:
        needs.commit(sha, TIPS, f"{_KINDS[prefix]} {ref.removeprefix(prefix)}{where}")
        if prefix != _WIP:
            needs.tips.add(sha)


def _worktrees(git: Git) -> Iterator[tuple[str, str]]:
    where = ""
    for line in git.run("worktree", "list", "--porcelain").text.splitlines():
        word, _, value = line.partition(" ")
        if word == "worktree":
            where = value
        elif word == "HEAD" and value.strip("0"):
            yield where, value


def _changed(git_dir: Path, ref: str) -> float:
    """When a ref was written; one that git packed since counts from then."""
    path = next((path for path in (git_dir / ref, git_dir / "packed-refs") if path.exists()), git_dir)
    return path.stat().st_mtime


def _what_failed(error: BuilderError) -> str:
    """Git says it first: advice comes after it. Where it says no more than that it failed, ssh has said why before that."""
    said = error.stderr if isinstance(error, ProcessError) else error.message
    lines = [line.strip() for line in said.splitlines() if line.strip()] or [error.message]
    first = next((number for number, line in enumerate(lines) if line.startswith("fatal: ")), 0)
    if lines[first] == f"fatal: {_GENERAL}" and first:
        first -= 1
    return lines[first].removeprefix("fatal: ")
