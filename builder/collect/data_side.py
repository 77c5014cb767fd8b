"""What the data root says is needed: runs, frozen checkpoints, green runs, and commits that no remote has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from builder.collect.needs import BUNDLES, CHECKPOINTS, GREEN, RUNS, Needs
from builder.data.interface import Objects
from builder.data.ledger import RUN, Entry, Ledger, seconds_of
from builder.data.threads import in_threads
from builder.errors import DataError
from builder.model.units import age, plural
from builder.runs.bundles import FOLDER
from builder.runs.history import Seen

_AT_ONCE = 64


def run_needs(ledger: Ledger, since: float, now: float, wanted: Mapping[str, str]) -> Needs:
    """Of runs that go on, or whose end nobody wrote down; that are younger than `since` (seconds since 1970); and of those in `wanted`
    (run to why). Raises DataError when a record cannot be read: it may be of a run that goes on.
    """
    needs, count = Needs(), 0
    for entry in ledger.runs(warn=_refuse):
        count += 1
        _note(needs, entry, since, now, wanted)
    needs.said.append(f"the ledger: {plural(count, 'run')}, {len(needs.open_runs)} of them without an end")
    return needs


def _note(needs: Needs, entry: Entry, since: float, now: float, wanted: Mapping[str, str]) -> None:
    seen = Seen.of(entry.run, entry.records)
    needs.known_runs.add(seen.run)
    if seen.is_open:
        needs.open_runs.add(seen.run)
    if seen.on == "argo":
        needs.namespaces.add(str(seen.records.get(RUN, seen.records.get("start", {})).get("namespace") or ""))
    last = max(entry.modified, *(seconds_of(text) for text in (seen.started, seen.ended) if text), 0.0)
    if seen.run in wanted:
        _need(needs, seen, wanted[seen.run])
    elif seen.is_open:
        _need(needs, seen, f"the ledger has no end of {seen.run}")
    elif last >= since:
        _need(needs, seen, f"{seen.run} ended {age(now - last)} ago")


def _need(needs: Needs, seen: Seen, why: str) -> None:
    needs.image(seen.reference, seen.commit, RUNS, why)
    for record in seen.records.values():  # a run that started at one image may name others
        needs.image(str(record.get("reference") or ""), str(record.get("commit") or ""), RUNS, why)


def _refuse(line: str) -> None:
    text = f"the ledger cannot be read whole: {line.removesuffix(': left out')}"
    raise DataError(text, "mend or delete that record: nobody knows what it needs")


def kept_needs(objects: Objects, last: int) -> Needs:
    """Of frozen checkpoints, the last green runs of each flow, and bundles. Raises DataError when one cannot be read."""
    needs = Needs()
    for made in _documents(objects, [found.key for found in objects.list("frozen/")]):
        needs.image(str(made["reference"]), str(made["commit"]), CHECKPOINTS, f"{made['run']} made a frozen checkpoint")
    for flow, keys in green_keys(objects).items():
        for run, why in last_green(objects, flow, keys, last):
            needs.image(str(run["reference"]), str(run["commit"]), GREEN, why)
    for found in objects.list(f"{FOLDER}/"):
        needs.commit(found.key.rpartition("/")[2], BUNDLES, "its bundle is in the data root: no remote has the commit")
    needs.said.append(f"{objects.name}: {plural(len(needs.commits), 'commit')} of frozen checkpoints, green runs and bundles")
    return needs


def green_keys(objects: Objects) -> dict[str, list[str]]:
    """By flow, the newest first."""
    by_flow: dict[str, list[str]] = {}
    for found in objects.list("green/"):
        by_flow.setdefault(found.key.split("/")[1], []).append(found.key)
    return {flow: sorted(keys, reverse=True) for flow, keys in by_flow.items()}


def last_green(objects: Objects, flow: str, keys: list[str], last: int) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The last green runs, and as many of those that a schedule started: other runs must not push the nightlies out."""
    left = {"green run": last, "green nightly": last}
    for run in _documents(objects, keys):
        kinds = [kind for kind in ("green run", "green nightly") if left[kind] > 0 and (kind == "green run" or run.get("schedule"))]
        for kind in kinds:
            left[kind] -= 1
        if kinds:
            yield run, f"{run['run']} is one of the last {last} {kinds[-1].replace('ly', 'lie') if last != 1 else kinds[-1]}s of {flow}"
        if not any(left.values()):
            return


def _documents(objects: Objects, keys: list[str]) -> Iterator[dict[str, Any]]:
    """Some at a time, in order; one that went since it was listed is left out."""
    waiting = iter(keys)
    while batch := list(islice(waiting, _AT_ONCE)):
        for key, data in zip(batch, in_threads(objects.get, batch), strict=True):
            if data is not None:
                yield _document(data, objects.url(key))


def _document(data: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
        if all(isinstance(found[name], str) for name in ("run", "commit", "reference")):
            return dict(found)
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    raise DataError(f"{where} cannot be read: it does not say which image it needs", "it is damaged: delete it")
