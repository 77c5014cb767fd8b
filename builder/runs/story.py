"""All that `builder show` says of one run: why it is as it is, what it is measured by, what changed since, and how to do it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from builder.cluster.interface import Cluster
from builder.data.interface import Objects
from builder.data.ledger import Ledger
from builder.errors import BuilderError
from builder.image.report import own_manifest
from builder.model.oci import Manifest
from builder.runs.changes import Changes, Side, changes
from builder.runs.history import Seen
from builder.runs.repeat import repeat
from builder.runs.tail import tail_of
from builder.settings import Settings
from builder.source.repository import Git
from builder.steps import green
from builder.steps.explain import Explanation, explanation_of
from builder.steps.request_file import kept_request
from builder.stores.interface import Store


@dataclass(frozen=True, slots=True)
class Places:
    """Where it is all looked up. `git` is None outside of a repository."""

    objects: Objects
    ledger: Ledger
    git: Git | None
    settings: Settings
    store: Callable[[], Store]
    connect: Callable[[], Cluster]


@dataclass(frozen=True, slots=True)
class Story:
    """`baseline` is the last run that was green when this one began (run, commit, scores, loss, ended, ...), empty when none was;
    `since` what changed from there to here. `again` repeats the run exactly; `missing` says what could not be found out, and why.
    """

    seen: Seen
    told: Explanation
    baseline: Mapping[str, Any]
    since: Changes | None
    again: str
    missing: tuple[str, ...]


def story_of(seen: Seen, places: Places) -> Story:
    missing: list[str] = []
    told = explanation_of(seen.run, seen.records, seen.state)
    if told.step and not told.said and seen.state != "stopped":
        told = replace(told, said=_try(lambda: tail_of(seen, told.step, places.objects, places.connect), (), missing))
    baseline = _try(lambda: green.last(places.objects, seen.flow, before=seen.run, until=seen.started), None, missing) or {}
    since = _since(baseline, seen, places) if baseline and seen.commit else None
    again = _try(lambda: repeat(kept_request(places.objects, seen.run), places.settings), "", missing)
    missing += _other_image(seen, places) if again and seen.commit else []
    return Story(seen, told, baseline, since, again, (*missing, *(since.unknown if since else ())))


def _since(baseline: Mapping[str, Any], seen: Seen, places: Places) -> Changes:
    records = places.ledger.read(str(baseline["run"]))
    before = Side(str(baseline["commit"]), config_of(records), manifest_of(str(baseline["reference"]), places.store))
    after = Side(seen.commit, config_of(seen.records), manifest_of(seen.reference, places.store))
    return changes(before, after, places.git, places.settings)


def config_of(records: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The configuration that a run resolved; None when it came to nothing."""
    return records.get("start", {}).get("values")


def manifest_of(reference: str, store: Callable[[], Store]) -> Manifest | None:
    """Of the image that a run used, or that a tag names, if the store of the settings has it."""
    try:
        stored = store().get_manifest(reference.rpartition("@")[2]) if reference else None
    except BuilderError:
        return None
    return own_manifest(stored) if stored else None


def _other_image(seen: Seen, places: Places) -> list[str]:
    """FLOW@SHA runs what the commit's plain tag names, which need not be what this run used."""
    try:
        stored = places.store().get_manifest(seen.commit)
    except BuilderError as error:
        return [f"whether {seen.commit[:12]} still has the image of this run: {error.message}"]
    digest = seen.reference.rpartition("@")[2]
    if stored is None or stored.digest == digest:
        return []
    return [f"the run used image {digest[7:19]}, and {seen.commit[:12]} would now run {stored.digest[7:19]}: made with other inputs"]


def _try(work: Callable[[], Any], otherwise: Any, missing: list[str]) -> Any:
    try:
        return work()
    except BuilderError as error:
        missing.append(error.message)
        return otherwise
