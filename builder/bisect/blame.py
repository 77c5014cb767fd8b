"""The commit that a search ended with: who made it, when, and what it changed."""

from __future__ import annotations

from dataclasses import dataclass

from builder.bisect.hunt import Found, Task
from builder.model.tree import Commit
from builder.source.repository import Git


@dataclass(frozen=True, slots=True)
class File:
    """A file that differs; lines are None in binary ones."""

    path: str
    added: int | None
    removed: int | None


@dataclass(frozen=True, slots=True)
class Blame:
    """The oldest commit known to be bad, and the nearest one before it that is known to be good: its parent, unless commits between were
    passed over. `date` is the author's, in ISO 8601; `diff` has the lines of what changed from one to the other.
    """

    commit: Commit
    before: str
    author: str
    date: str
    files: tuple[File, ...]
    diff: tuple[str, ...]


def blame_of(git: Git, task: Task, found: Found) -> Blame:
    commit = git.commit(found.step.head)
    before = _before(task, found, commit)
    author, _, date = git.run("show", "--no-patch", "--format=%an <%ae>%n%aI", commit.sha).text.strip().partition("\n")
    numbers = git.run(*_DIFF, "--numstat", before, commit.sha).text.splitlines()
    lines = git.run(*_DIFF, before, commit.sha).stdout.decode("utf-8", "replace").splitlines()
    return Blame(commit, before, author, date, tuple(map(_file, numbers)), tuple(lines))


_DIFF = ("-c", "core.quotePath=false", "diff", "--no-color", "--no-ext-diff", "--no-renames")
"""Whatever the user's configuration says of diffs."""


def _before(task: Task, found: Found, commit: Commit) -> str:
    """A parent that was tested, else the commit known to be good that has most of the others below it."""
    good = [sha for sha, verdict in found.verdicts.items() if verdict == "good" and sha in task.graph.below]
    older = [sha for sha in good if task.graph.below[sha] | task.graph.below[commit.sha] == task.graph.below[commit.sha]]
    parents = [sha for sha in commit.parents if found.verdicts.get(sha) == "good"]
    return next(iter(parents), None) or max(older, key=lambda sha: task.graph.below[sha].bit_count(), default=task.good)


def _file(line: str) -> File:
    added, removed, path = line.split("\t", 2)
    return File(path, *(int(number) if number.isdigit() else None for number in (added, removed)))
