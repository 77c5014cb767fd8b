"""The newest commits of all branches and tags, from git. Reads no file of theirs: a clone without blobs or trees will do."""

from __future__ import annotations

from builder.page.facts import Commit
from builder.source.repository import Git

_FORMAT = "%H%n%ct%n%an%n%D%n%s"
_OURS = "--decorate-refs-exclude=refs/builder/*"
"""Snapshots of working trees, and the like: nobody's branches."""


def newest_commits(git: Git, most: int) -> tuple[Commit, ...]:
    """At most so many, newest first; none in a repository without commits. Raises ProcessError on a damaged one."""
    head = ["HEAD"] if git.run("rev-parse", "--verify", "--quiet", "HEAD", check=False).returncode == 0 else []
    named = git.run("for-each-ref", "--count=1", "refs/heads", "refs/remotes", "refs/tags").stdout
    if not head and not named:
        return ()
    which = ["--branches", "--remotes", "--tags", *head]
    options = [f"--max-count={most}", f"--format={_FORMAT}", "--date-order", "--decorate=short", _OURS]
    told = git.run("log", "-z", *options, *which).text
    return tuple(_commit(entry) for entry in told.split("\0") if entry)


def _commit(entry: str) -> Commit:
    sha, date, author, refs, subject = entry.split("\n", 4)
    return Commit(sha, float(date), author, subject, tuple(ref for ref in refs.split(", ") if ref))
