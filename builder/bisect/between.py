"""The commits between a good one and a bad one, as git has them."""

from __future__ import annotations

from builder.bisect.search import Graph
from builder.errors import UsageError
from builder.model.tree import Commit
from builder.source.repository import Git


def graph_between(git: Git, good: Commit, bad: Commit, *, first_parent: bool = False) -> Graph:
    """With `first_parent` a merge stands for all that it brought. Raises UsageError where the good one is no ancestor of the bad one."""
    _check_ends(git, good, bad)
    options = ["--first-parent"] if first_parent else []
    lines = git.run("rev-list", "--topo-order", "--parents", *options, bad.sha, f"^{good.sha}").text.splitlines()
    return Graph.of({line[:40]: tuple(line.split()[1:]) for line in lines})


def _check_ends(git: Git, good: Commit, bad: Commit) -> None:
    if good.sha == bad.sha:
        raise UsageError(f"--good and --bad are the same commit, {good.sha[:12]}", "name two")
    if _is_ancestor(git, good, bad):
        return
    if _is_ancestor(git, bad, good):
        hint = "to find what made it better, swap them, and turn the metric round: 'click>=0.8' is then what is bad"
        raise UsageError(f"the good commit {good.sha[:12]} comes after the bad one {bad.sha[:12]}", hint)
    base = git.run("merge-base", good.sha, bad.sha, check=False).text.strip()
    if base:
        hint = f"name one that is: --good {base[:12]} is where their histories part"
    else:
        hint = "this clone is shallow: `git fetch --unshallow`" if git.shallow else "they have no history in common"
    raise UsageError(f"the good commit {good.sha[:12]} is no ancestor of the bad one {bad.sha[:12]}", hint)


def _is_ancestor(git: Git, old: Commit, new: Commit) -> bool:
    return git.run("merge-base", "--is-ancestor", old.sha, new.sha, check=False).returncode == 0
