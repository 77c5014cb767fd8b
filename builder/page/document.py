"""Facts as one compact JSON object, which the page's script reads (web/data.js). Every text in it can be shown on one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder.data.ledger import seconds_of
from builder.model.path_names import shown
from builder.model.run import finite
from builder.page.facts import Commit, Facts, Image, Images, Job, Nights
from builder.runs.graph import checkpoints_in
from builder.runs.history import Seen
from builder.steps.explain import explanation_of
from builder.steps.outcome import state_of_step, steps_of
from builder.watch.news import Open
from builder.watch.wording import TITLES

SCHEMA = 1
_LONGEST = 400
"""Characters of a text: the page is for looking, the ledger has the rest."""
_CONFIG = "config"
_LINES = 12
"""Of the end of a log."""


def document(facts: Facts) -> dict[str, Any]:
    images = facts.images
    return {
        "schema": SCHEMA,
        "made": round(facts.made),
        "name": _text(facts.name),
        "root": _text(facts.root),
        "store": _text(images.name),
        "commits": [_commit(commit, images.by_commit.get(commit.sha)) for commit in facts.commits],
        "sizes": _sizes(images),
        "runs": [_run(seen, facts) for seen in facts.runs],
        "nights": [_nights(nights) for nights in facts.nights],
        "jobs": [_job(job) for job in facts.jobs],
        "found": [_found(found) for found in facts.found],
        "looked": _time(facts.looked),
        "notes": [_text(note) for note in facts.notes],
    }


def _commit(commit: Commit, image: Image | None) -> dict[str, Any]:
    known = {"sha": commit.sha, "date": round(commit.date), "author": _text(commit.author), "subject": _text(commit.subject)}
    refs = {"refs": [_text(ref) for ref in commit.refs]} if commit.refs else {}
    return {**known, **refs, **({"image": _image(image)} if image else {})}


def _image(image: Image) -> dict[str, Any]:
    """`kinds`: of each kind of layers, and of the configuration, how many there are, their bytes, and how many of these are new."""
    kinds: dict[str, list[int]] = {}
    for layer in image.layers:
        sums = kinds.setdefault(layer.kind, [0, 0, 0])
        sums[0], sums[1], sums[2] = sums[0] + 1, sums[1] + layer.size, sums[2] + layer.size * layer.new
    if image.config:
        kinds[_CONFIG] = [1, image.config, image.config]
    return {"digest": image.digest, "size": image.size, "new": image.new, "kinds": {_text(kind): sums for kind, sums in kinds.items()}}


def _sizes(images: Images) -> dict[str, Any]:
    """`alone`: what the images would take if each had its layers for itself; `stored`: what they take."""
    stored: dict[str, int] = {}
    for layer in (layer for image in images.by_commit.values() for layer in image.layers if layer.new):
        stored[layer.kind] = stored.get(layer.kind, 0) + layer.size
    if configs := sum(image.config for image in images.by_commit.values()):
        stored[_CONFIG] = configs
    alone = sum(image.size for image in images.by_commit.values())
    counted = {"images": len(images.by_commit), "tagged": images.tagged}
    return {**counted, "alone": alone, "stored": sum(stored.values()), "kinds": {_text(kind): size for kind, size in stored.items()}}


def _run(seen: Seen, facts: Facts) -> dict[str, Any]:
    result, told = seen.result, explanation_of(seen.run, seen.records, seen.state)
    origin, checkpoint = seen.origin, next(checkpoints_in(seen.records), None)
    known = {
        "run": _text(seen.run),
        "flow": _text(seen.flow),
        "commit": _text(seen.commit),
        "digest": _text(seen.reference.rpartition("@")[2]),
        "subject": _text(seen.subject),
        "state": _text(seen.state),
        "detail": _text(seen.detail),
        "who": _text(origin.get("who") or ""),
        "schedule": _text(origin.get("schedule") or ""),
        "where": _text(seen.where),
        "started": _time(seen.started),
        "ended": _time(seen.ended),
        "overrides": [_text(word) for word in seen.overrides],
        "loss": finite(result.loss),
        "scores": {_text(action): finite(score) for action, score in result.scores.items()},
        "holes": [_text(hole) for hole in told.holes],
        "baseline": _text(result.baseline.get("run") or "") if result.baseline else "",
        "checkpoint": [_text(checkpoint[0]), checkpoint[1], checkpoint[2]] if checkpoint else [],
        "config": _text(result.config),
        "parent": _text(origin.get("parent") or ""),
        "retried": _text(origin.get("retried") or ""),
        "children": _children(seen),
        "step": _text(told.step),
        "end": _text(told.end),
        "error": [_text(line) for line in told.error.splitlines()[:_LINES]],
        "log": [_text(line) for line in told.said[-_LINES:]],
        "hint": _text(told.hint),
        "links": {_text(name): _text(place) for name, place in seen.links.items()},
        "steps": [_step(step, record, seen.state) for step, record in steps_of(seen.records).items()],
        "curve": [[_short(x), _short(y)] for x, y in facts.curves.get(seen.run, ())],
    }
    return {name: value for name, value in known.items() if value not in ("", None, [], {})}


def _children(seen: Seen) -> list[str]:
    """The runs that it started, as its records say."""
    return [_text(child) for child in dict.fromkeys(child for record in seen.records.values() for child in record.get("children") or ())]


def _step(step: str, record: Mapping[str, Any], run_state: str) -> dict[str, Any]:
    job = record.get("job") or {}
    known = {
        "step": _text(step),
        "state": _text(state_of_step(record, run_state)),
        "started": _time(record.get("started")),
        "ended": _time(record.get("ended")),
        "tries": record.get("tries", 1) if record.get("tries", 1) != 1 else None,
        "kept": _text(record.get("kept") or ""),
        "job": _text(f"{job.get('id', '')} on {job.get('cluster', '')}") if job.get("id") else "",
        "nodes": _text(job.get("nodes") or record.get("host") or ""),
    }
    return {name: value for name, value in known.items() if value not in ("", None)}


def _nights(nights: Nights) -> dict[str, Any]:
    known = {"schedule": _text(nights.schedule), "flow": _text(nights.flow), "cron": _text(nights.cron), "timezone": _text(nights.timezone)}
    days = [[day.date, _text(day.state), [_text(run) for run in day.runs]] for day in nights.days]
    return {**known, "paused": nights.paused, "last": nights.last and round(nights.last), "days": days}


def _job(found: Job) -> dict[str, Any]:
    job = found.job
    texts = {"id": job.id, "name": job.name, "state": job.state, "user": job.user, "reason": job.reason, "nodes": job.nodes}
    more = {"run": job.run, "step": job.step, "cluster": found.cluster}
    times = {"submitted": job.submitted, "starts": job.starts}
    plain = {name: _text(text) for name, text in {**texts, **more}.items()}
    return {**plain, "gpus": job.gpus, "waits": job.is_waiting, **{name: time and round(time) for name, time in times.items()}}


def _found(found: Open) -> dict[str, Any]:
    known = {"kind": _text(found.kind), "title": TITLES.get(found.kind, ("", found.kind))[1]}
    return {**known, "subject": _text(found.subject), "text": _text(found.text), "since": round(found.since), "told": found.told}


def _time(text: object) -> int | None:
    """Seconds since 1970 of a time as the ledger writes it; None where there is none, or it is damaged."""
    try:
        return round(seconds_of(str(text))) if text else None
    except ValueError:
        return None


def _short(value: float) -> float:
    """Six digits are more than a curve shows."""
    return float(f"{value:.6g}")


def _text(value: object) -> str:
    text = shown(str(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
