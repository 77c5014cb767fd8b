"""What lies in the namespace of Argo: workflows that have ended, and templates. Only those that this tool made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from builder.cluster.interface import Cluster
from builder.data.ledger import seconds_of
from builder.deploy.apply import TEMPLATE_LABEL
from builder.deploy.cron import template_of
from builder.deploy.names import MANAGED
from builder.housekeep.things import TEMPLATE, WORKFLOW, Thing

_ENDED = ("Succeeded", "Failed", "Error")
_KINDS = {WORKFLOW: "workflows", TEMPLATE: "workflowtemplates"}


class Namespace:
    """As it is at one moment. `used` says when runs that the ledger knows used a template last. Raises ClusterError, AuthError."""

    def __init__(self, cluster: Cluster, used: Mapping[str, float]) -> None:
        self._cluster = cluster
        self._templates = list(cluster.list("workflowtemplates"))  # first: a run that comes meanwhile is seen with the workflows
        self._crons = list(cluster.list("cronworkflows", MANAGED))
        self._workflows = list(cluster.list("workflows"))
        self._used = used

    @property
    def name(self) -> str:
        return self._cluster.namespace

    def things(self) -> Iterator[Thing]:
        for found in filter(_is_ours, self._workflows):
            if _phase(found) in _ENDED:
                yield self._thing(found, WORKFLOW, _time(found["status"].get("finishedAt")) or _made(found))
        last = self._last_uses()
        for found in filter(_is_ours, self._templates):
            name = found["metadata"]["name"]
            yield self._thing(found, TEMPLATE, max(_made(found), last.get(name, 0.0), self._used.get(name, 0.0)))

    def needs(self) -> tuple[dict[str, str], dict[str, str]]:
        """Commits and templates that something in the cluster needs, with what that is."""
        commits: dict[str, str] = {}
        templates: dict[str, str] = {}
        for cron in self._crons:
            _note(commits, templates, cron, template_of(cron), f"schedule {cron['metadata']['name']} starts it")
        for found in self._workflows:
            if _phase(found) not in _ENDED:
                _note(commits, templates, found, template_name(found), f"{found['metadata']['name']} goes on")
        return commits, templates

    def _last_uses(self) -> dict[str, float]:
        last: dict[str, float] = {}
        for found in self._workflows:
            last[template_name(found)] = max(last.get(template_name(found), 0.0), _made(found))
        return last

    def _thing(self, found: Mapping[str, Any], kind: Any, used: float) -> Thing:
        metadata = found["metadata"]
        run = metadata["name"] if kind == WORKFLOW else ""
        return Thing(kind, self.name, metadata["name"], used, str(metadata.get("uid", "")), run, _commit(found))


def remove(cluster: Cluster, things: Sequence[Thing]) -> Iterator[tuple[Thing, str]]:
    """Each with what became of it: `removed`, `gone`, or `used`: it is another one by now, or a run of it has come. Raises ClusterError,
    AuthError for what cannot be removed.
    """
    for thing in things:
        there = cluster.get(_KINDS[thing.kind], thing.name)
        if there is None:
            yield thing, "gone"
        elif there["metadata"].get("uid", "") != thing.stamp or (thing.kind == TEMPLATE and _goes_on(cluster, thing.name)):
            yield thing, "used"
        else:
            yield thing, "removed" if cluster.delete(_KINDS[thing.kind], thing.name) else "gone"


def template_name(found: Mapping[str, Any]) -> str:
    """The template that a workflow is of; empty when nothing says so."""
    label = (found["metadata"].get("labels") or {}).get(TEMPLATE_LABEL, "")
    return str(label or ((found.get("spec") or {}).get("workflowTemplateRef") or {}).get("name", ""))


def _goes_on(cluster: Cluster, template: str) -> bool:
    return any(_phase(found) not in _ENDED for found in cluster.list("workflows", {TEMPLATE_LABEL: template}))


def _note(commits: dict[str, str], templates: dict[str, str], found: Mapping[str, Any], template: str, why: str) -> None:
    for known, name in ((commits, _commit(found)), (templates, template)):
        if name:
            known.setdefault(name, why)


def _is_ours(found: Mapping[str, Any]) -> bool:
    labels: Iterable[str] = found["metadata"].get("labels") or {}
    return any(label in labels for label in ("builder/flow", "builder/part"))


def _commit(found: Mapping[str, Any]) -> str:
    return str((found["metadata"].get("labels") or {}).get("builder/commit", ""))


def _phase(found: Mapping[str, Any]) -> str:
    return str((found.get("status") or {}).get("phase") or "")


def _made(found: Mapping[str, Any]) -> float:
    return seconds_of(found["metadata"]["creationTimestamp"])


def _time(text: Any) -> float | None:
    return seconds_of(str(text)) if text else None
