"""What is needed, and by whom: the roots of everything that stays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

TIPS, SCHEDULES, CLUSTER, JOBS, RUNS, CHECKPOINTS, GREEN, BUNDLES = (
    "branches and tags",
    "templates and schedules",
    "the cluster",
    "Slurm jobs",
    "runs",
    "frozen checkpoints",
    "green runs",
    "bundles",
)
"""Groups of reasons, for people."""


@dataclass(frozen=True, slots=True)
class Reason:
    """`text` as a person reads it: `branch main of origin`."""

    group: str
    text: str


@dataclass(slots=True)
class Needs:
    """Everything that somebody needs by name, each with the first reason that was found.

    `digests`: `sha256:<64 hex>`, or the beginning of one with 16 digits, as labels have it. `commits`: 40 hex digits: all images of these
    are needed. `tags`: beginnings of tags (`deps-<key>`). `tips` are the commits of branches and tags: new images of theirs may come at
    any time. `templates` and `runs` by name; `open_runs` go on, or nobody knows their end; `known_runs` are all that the ledger has, and
    `namespaces` those of clusters that they were in. `archived` are clusters whose Argo archives workflows. `said` tells what was asked, a
    line each.
    """

    digests: dict[str, Reason] = field(default_factory=dict)
    commits: dict[str, Reason] = field(default_factory=dict)
    tags: dict[str, Reason] = field(default_factory=dict)
    tips: set[str] = field(default_factory=set)
    templates: dict[str, Reason] = field(default_factory=dict)
    runs: dict[str, Reason] = field(default_factory=dict)
    open_runs: set[str] = field(default_factory=set)
    known_runs: set[str] = field(default_factory=set)
    namespaces: set[str] = field(default_factory=set)
    archived: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)

    def digest(self, digest: str, group: str, text: str) -> None:
        if digest:
            self.digests.setdefault(digest, Reason(group, text))

    def commit(self, sha: str, group: str, text: str) -> None:
        if sha:
            self.commits.setdefault(sha, Reason(group, text))

    def image(self, reference: str, commit: str, group: str, text: str) -> None:
        """An image by its digest, where a reference names one, and all images of its commit."""
        self.digest(reference.rpartition("@")[2] if "@" in reference else "", group, text)
        self.commit(commit, group, text)

    def and_those(self, others: Iterable[Needs]) -> Needs:
        """All together; of two reasons for one thing the earlier one stays."""
        for other in others:
            for mine, theirs in zip(_tables(self), _tables(other), strict=True):
                mine |= {name: reason for name, reason in theirs.items() if name not in mine}
            for found, more in zip(_sets(self), _sets(other), strict=True):
                found |= more
            self.said += other.said
        return self


def _tables(needs: Needs) -> tuple[dict[str, Reason], ...]:
    return needs.digests, needs.commits, needs.tags, needs.templates, needs.runs


def _sets(needs: Needs) -> tuple[set[str], ...]:
    return needs.tips, needs.open_runs, needs.known_runs, needs.namespaces, needs.archived
