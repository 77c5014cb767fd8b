"""Revisions of a flow that git knows nothing of: `green`, `live` and `last`.

A word wins over a branch or tag of that name: it must mean the same in every clone. `refs/heads/green` is the branch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from builder.cluster.interface import Cluster
from builder.data.interface import Objects
from builder.data.ledger import Ledger
from builder.errors import ClusterError, RevisionError
from builder.runs.history import Filter, runs_of
from builder.steps import green

WORDS = ("green", "live", "last")
_WORD = re.compile(rf"({'|'.join(WORDS)})((?:[~^].*)?)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Stands:
    """What a word stands for: the commit's sha, and why in words."""

    sha: str
    why: str


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the words are looked up. `who` is the person who asks; `connect` gives the cluster, if `live` is asked for."""

    objects: Objects
    ledger: Ledger
    connect: Callable[[], Cluster]
    who: str


def split(revision: str) -> tuple[str, str]:
    """`green~2` is `green` and `~2`; two empty texts for what is no such word."""
    match = _WORD.match(revision)
    return (match[1], match[2]) if match else ("", "")


def look_up(word: str, flow: str, sources: Sources) -> Stands:
    """Raises RevisionError when there is no such run, or no such nightly; ClusterError, AuthError when the cluster cannot be asked."""
    return {"green": _green, "live": _live, "last": _last}[word](flow, sources)


def _green(flow: str, sources: Sources) -> Stands:
    """The last nightly that passed; where none has, the last green run of the default branch."""
    nightly = green.last(sources.objects, flow, scheduled=True)
    found = nightly or green.last(sources.objects, flow)
    if found is None:
        raise RevisionError(
            f"no run of {flow} at a commit of the default branch has passed yet: nothing is green",
            f"`builder status --flow {flow}` lists them",
        )
    what = "the last nightly that passed" if nightly else "the last green run of the default branch, as no nightly has passed yet"
    return Stands(str(found["commit"]), f"{found['run']}, {what}")


def _live(flow: str, sources: Sources) -> Stands:
    try:
        cluster = sources.connect()
    except ClusterError as error:
        raise ClusterError(f"live is what the schedules of {flow} in the cluster run: {error.message}", error.hint) from error
    commits: dict[str, list[str]] = {}
    for cron in cluster.list("cronworkflows", {"builder/flow": flow}):
        commits.setdefault(str(cron["metadata"]["labels"].get("builder/commit", "")), []).append(str(cron["metadata"]["name"]))
    if not commits:
        text = f"no nightly of {flow} is deployed in namespace {cluster.namespace}: nothing is live"
        raise RevisionError(text, f"`builder deploy {flow}` deploys what [schedule] says")
    if len(commits) > 1:
        listed = "; ".join(f"{', '.join(sorted(names))} runs {sha[:12]}" for sha, names in sorted(commits.items()))
        raise RevisionError(f"the schedules of {flow} run different commits: {listed}", "name the commit instead of live")
    ((sha, names),) = commits.items()
    return Stands(sha, f"what {', '.join(sorted(names))} runs")


def _last(flow: str, sources: Sources) -> Stands:
    found = runs_of(sources.ledger, Filter(flow=flow, who=sources.who), 1)
    if not found:
        raise RevisionError(
            f"{sources.who} has not run {flow} yet: there is no last run", f"`builder status --flow {flow}` lists everybody's"
        )
    return Stands(found[0].commit, f"{found[0].run}, your last run of {flow}")
