"""Which commit a schedule started when, and who had it so: `deploys/<schedule>/<time>-<sha12>-<6 hex>.json` in the data root.

One small object for each change, each written once by whoever made it; nothing is ever changed or needed to deploy.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from builder.cluster.interface import Cluster
from builder.data.interface import Objects
from builder.data.ledger import now
from builder.data.threads import in_threads
from builder.deploy.cron import commit_of, template_of
from builder.deploy.schedules import DEPLOYED, DEPLOYER, KIND

SCHEMA = 1
DEPLOY, ROLLBACK, REMOVED, SEEN = "deploy", "rollback", "removed", "seen"
_FOLDER = "deploys"


@dataclass(frozen=True, slots=True)
class Deployed:
    """`schedule` starts `template` from `when` on, which is in UTC. `how`: `deploy`, `rollback`, `removed` (it starts nothing any more),
    or `seen`: it is so in the cluster, and nobody wrote it down. `before` is the commit that it started until then.
    """

    when: str
    schedule: str
    flow: str
    commit: str
    subject: str
    reference: str
    template: str
    who: str
    how: str
    namespace: str
    before: str = ""


@dataclass(frozen=True, slots=True)
class Era:
    """What was live, and `until` when; empty while it is."""

    deployed: Deployed
    until: str


def deployed(cron: Mapping[str, Any], how: str, who: str, namespace: str, before: str = "") -> Deployed:
    """What a CronWorkflow starts from now on."""
    metadata = cron["metadata"]
    labels, marks = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return Deployed(
        when=now(),
        schedule=metadata["name"],
        flow=labels.get("builder/flow", ""),
        commit=labels.get("builder/commit", ""),
        subject=marks.get("builder/subject", ""),
        reference=marks.get("builder/reference", ""),
        template=template_of(cron),
        who=who,
        how=how,
        namespace=namespace,
        before=before,
    )


def removed(cron: Mapping[str, Any], who: str, namespace: str) -> Deployed:
    """That a CronWorkflow starts nothing any more."""
    was = deployed(cron, REMOVED, who, namespace, commit_of(cron))
    return replace(was, commit="", subject="", reference="", template="")


def remember(objects: Objects, entry: Deployed) -> None:
    """Raises DataError, AuthError."""
    import msgspec

    key = f"{_FOLDER}/{entry.schedule}/{entry.when}-{entry.commit[:12] or REMOVED}-{secrets.token_hex(3)}.json"
    document = {"schema": SCHEMA, **msgspec.to_builtins(entry)}
    objects.put(key, f"{json.dumps(document, indent=1)}\n".encode(), new=True)


def eras(objects: Objects, cluster: Cluster | None, flow: str, namespace: str, last: int) -> list[Era]:
    """The `last` of them in a namespace, newest first. With the cluster also what is live and was not written down.

    What cannot be read as one of ours is left out. Raises DataError, ClusterError, AuthError.
    """
    written = [entry for name in sorted(set(objects.folders(f"{_FOLDER}/"))) for entry in _read(objects, name, last + 1)]
    known = _by_schedule(entry for entry in written if entry.namespace == namespace)
    if cluster is not None:
        for cron in cluster.list(KIND, {"builder/flow": flow}):
            _add_live(known, cron, namespace)
    found = [era for entries in known.values() for era in _with_ends(entries)]
    wanted = [era for era in found if era.deployed.flow == flow and era.deployed.how != REMOVED]
    return sorted(wanted, key=lambda era: (era.deployed.when, era.deployed.schedule), reverse=True)[:last]


def _read(objects: Objects, schedule: str, last: int) -> Iterator[Deployed]:
    """Oldest first: keys begin with the time."""
    keys = sorted(found.key for found in objects.list(f"{_FOLDER}/{schedule}/"))[-last:]
    for data in in_threads(objects.get, keys):
        entry = _parsed(data)
        if entry is not None:
            yield entry


def _parsed(data: bytes | None) -> Deployed | None:
    import msgspec

    try:
        return msgspec.json.decode(data or b"", type=Deployed)
    except msgspec.DecodeError:
        return None


def _by_schedule(entries: Iterable[Deployed]) -> dict[str, list[Deployed]]:
    known: dict[str, list[Deployed]] = {}
    for entry in entries:
        known.setdefault(entry.schedule, []).append(entry)
    return known


def _add_live(known: dict[str, list[Deployed]], cron: Mapping[str, Any], namespace: str) -> None:
    """What the cluster has wins: whoever deployed may have ended before it was written down, and Argo CD writes nothing down."""
    entries = known.setdefault(cron["metadata"]["name"], [])
    if entries and entries[-1].template == template_of(cron):
        return
    marks = cron["metadata"].get("annotations") or {}
    when, who = marks.get(DEPLOYED, "").partition(",")[0], marks.get(DEPLOYER, "")
    if (entries and when <= entries[-1].when) or not when:
        when, who = _last_change(cron)
    entries.append(replace(deployed(cron, SEEN, who, namespace, entries[-1].commit if entries else ""), when=when))


def _last_change(cron: Mapping[str, Any]) -> tuple[str, str]:
    """When the object was changed last, and by which program, as the server has written it down."""
    changes = [(str(each.get("time", "")), str(each.get("manager", ""))) for each in cron["metadata"].get("managedFields") or ()]
    return max(changes, default=(str(cron["metadata"].get("creationTimestamp", "")), ""))


def _with_ends(entries: list[Deployed]) -> Iterator[Era]:
    """One that starts the same as the one before it (its time changed, say) goes on with it."""
    merged: list[Deployed] = []
    for entry in entries:
        if not merged or merged[-1].template != entry.template or entry.how == REMOVED or merged[-1].how == REMOVED:
            merged.append(entry)
    for entry, after in zip(merged, [*merged[1:], None], strict=True):
        yield Era(entry, after.when if after else "")
