"""Which of a clone's remotes to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import SourceError

if TYPE_CHECKING:
    from builder.source.repository import Git


def preferred_remote(git: Git) -> str:
    """The one that the current branch follows, else origin, else the only one. Raises SourceError when that is none."""
    remotes = git.run("remote").text.splitlines()
    branch = git.run("symbolic-ref", "--quiet", "--short", "HEAD", check=False).text.strip()
    followed = git.run("config", "--get", f"branch.{branch}.remote", check=False).text.strip()
    for name in (followed, "origin", remotes[0] if len(remotes) == 1 else ""):
        if name in remotes:
            return name
    where = git.top or git.git_dir
    if not remotes:
        raise SourceError(f"{where} has no remote", "`git remote add origin URL` adds one")
    hint = "`git branch --set-upstream-to REMOTE/BRANCH` chooses one, and so does the name origin"
    raise SourceError(f"{where} has the remotes {', '.join(remotes)}, and nothing says which of them to ask", hint)
