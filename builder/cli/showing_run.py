"""What `builder show RUN` prints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from builder.cli import output
from builder.cli.following import difference, number
from builder.errors import DataError

if TYPE_CHECKING:
    from builder.cli.reading import Reader
    from builder.model.tree import Commit
    from builder.runs.changes import Changes
    from builder.runs.history import Seen
    from builder.runs.story import Story


def show_run(reader: Reader, run: str, form: str, *, repro: bool = False) -> None:
    from builder.runs.story import Places, story_of

    seen = reader.run(run)
    assert seen is not None  # it was found a moment ago
    places = Places(reader.objects, reader.ledger, reader.maybe_git, reader.settings, lambda: reader.store, reader.connect)
    story = story_of(seen, places)
    if repro:
        _repeat(story)
    elif form == "json":
        output.document(as_json(story))
    else:
        _print(story)
    for text in story.missing:
        output.warn(text)


def _repeat(story: Story) -> None:
    if not story.again:
        raise DataError(f"{story.seen.run} kept no request: it cannot be repeated exactly", f"builder show {story.seen.run}")
    output.result(story.again)


def _print(story: Story) -> None:
    for line in _lines(story):
        output.result(line)
    if story.seen.result.scores:
        output.result("")
        _scores(story)
    _steps(story.seen)
    if story.baseline:
        output.result("")
        for line in _since(story):
            output.result(line)
    for name, place in story.seen.links.items():
        output.note(f"{name}: {place}")
    if story.again:
        output.note(f"to repeat it exactly: {story.again}")
    if following := next_command(story):
        output.note(f"next: {following}")


def next_command(story: Story) -> str:
    """What succeeded is compared with what was green before it."""
    if story.seen.state == "succeeded":
        baseline = story.baseline.get("run", "")
        return f"builder compare {baseline} {story.seen.run}" if baseline else f"builder show {story.seen.flow}"
    return story.told.next


def _lines(story: Story) -> Iterator[str]:
    from builder.steps.explain import lines_of
    from builder.steps.jobs import environments_of

    seen = story.seen
    yield from lines_of(story.told)
    if seen.detail:
        yield f"{seen.state} {seen.detail}" if seen.is_open else seen.detail
    yield ""
    yield f"{seen.flow}@{seen.commit[:12]} {seen.subject}".rstrip()
    yield ", ".join(filter(None, (f"by {seen.who}" if seen.who else "", f"on {seen.where}" if seen.where else "", _times(seen))))
    if seen.overrides:
        yield f"with {' '.join(seen.overrides)}"
    yield from _family(seen)
    if seen.reference:
        yield f"image {seen.reference}"
    yield from (f"{step}: {where}" for step, where in environments_of(seen.records).items())
    if seen.result.checkpoint:
        yield f"checkpoint {seen.result.checkpoint}"
    yield from _jobs(seen)
    if back := _restored(seen):
        yield f"restored {output.plural(back['files'], 'file')}, {output.size(back['size'])}, that slim-repo took out of {back['was'][:12]}"


def _times(seen: Seen) -> str:
    from builder.data.ledger import seconds_of
    from builder.model import units
    from builder.steps.explain import took_in_words

    if not seen.started:
        return ""
    ago = units.age(time.time() - seconds_of(seen.ended or seen.started))
    took = f", took {took_in_words(seen.seconds)}" if seen.seconds is not None else ""
    return f"started {seen.started}{took}, {'ended' if seen.ended else 'started'} {ago} ago"


def _family(seen: Seen) -> Iterator[str]:
    """The runs that this one comes from, and those that came of it."""
    origin = seen.origin
    if origin.get("retried"):
        yield f"goes on from {origin['retried']}"
    if origin.get("parent"):
        yield f"started by {origin['parent']}"
    children = [child for record in seen.records.values() for child in record.get("children", ())]
    if children:
        yield f"started {', '.join(children)}"


def _jobs(seen: Seen) -> Iterator[str]:
    """Where a step's job in Slurm is, and its log."""
    from builder.steps.jobs import in_words, jobs_of

    for step, job in jobs_of(seen.records).items():
        links = "".join(f", {name}: {url}" for name, url in (seen.records[step].get("links") or {}).items())
        yield f"{step}: {in_words(job)}, {job['cluster']}:{job['log']}{links}"


def _restored(seen: Seen) -> dict[str, Any]:
    """What its commands got back: the first step says it that needed it."""
    return next((dict(record["restored"]) for record in seen.records.values() if record.get("restored")), dict(seen.result.restored))


def _scores(story: Story) -> None:
    before = story.baseline.get("scores", {})
    result = story.seen.result
    rows = [("loss", number(result.loss), difference(result.loss, story.baseline.get("loss")))] if result.loss is not None else []
    rows += [(action, number(score), difference(score, before.get(action))) for action, score in result.scores.items()]
    headers = ("METRIC", "VALUE", "CHANGE") if story.baseline else ("METRIC", "VALUE")
    output.table(headers, [row[: len(headers)] for row in rows], right=headers[1:])


def _steps(seen: Seen) -> None:
    rows = list(step_rows(seen))
    if rows:
        output.result("")
        output.table(("STEP", "STATE", "TOOK", "TRIES", "STARTED"), rows, right=("TOOK", "TRIES"))


def step_rows(seen: Seen) -> Iterator[tuple[str, ...]]:
    from builder.steps.explain import took_in_words
    from builder.steps.outcome import state_of_step, steps_of

    for step, record in steps_of(seen.records).items():
        took = _seconds(record)
        state = state_of_step(record, seen.state) + (f" (of {record['kept']})" if record.get("kept") else "")
        yield (step, state, "" if took is None else took_in_words(took), str(record.get("tries", 1)), str(record.get("started", "")))


def _seconds(record: Mapping[str, Any]) -> float | None:
    from builder.steps.explain import seconds_between

    return seconds_between(record)


def _since(story: Story) -> Iterator[str]:
    baseline, since = story.baseline, story.since
    yield f"last green run before it: {baseline['run']} at {str(baseline['commit'])[:12]}, {baseline['ended']}"
    if since is None:
        return
    if since.is_empty and not since.unknown:
        yield "since then nothing changed: neither commits nor configuration, base or dependencies"
    yield from change_lines(since)


def change_lines(since: Changes) -> Iterator[str]:
    """Commits with their authors, then what differs."""
    if since.ahead:
        yield f"{output.plural(since.ahead, 'commit')} since:"
        yield from (f"  {commit_line(commit)}" for commit in since.commits)
        if since.ahead > len(since.commits):
            yield f"  and {since.ahead - len(since.commits)} more"
    if since.behind:
        yield f"lacks {output.plural(since.behind, 'commit')} that the other has"
    for what in ("config", "base", "deps"):
        for name, (before, after) in getattr(since, what).items():
            yield f"{what if what == name else f'{what} {name}'}: {before} -> {after}"


def commit_line(commit: Commit) -> str:
    return f"{commit.sha[:7]} {commit.author}: {commit.subject}"


def as_json(story: Story) -> dict[str, Any]:
    """The documented form (docs/reference/json.md)."""
    from builder.cli.status import as_json as plain
    from builder.steps.outcome import state_of_step, steps_of

    told, seen = story.told, story.seen
    steps = [{**_step(step, record), "state": state_of_step(record, seen.state)} for step, record in steps_of(seen.records).items()]
    return {
        "kind": "run",
        **plain(seen),
        "identity": seen.result.identity,
        "config": seen.result.config,
        "checkpoint": seen.result.checkpoint,
        "restored": _restored(seen),
        "step": told.step,
        "end": told.end,
        "error": told.error,
        "log": list(told.said),
        "hint": told.hint,
        "holes": list(told.holes),
        "steps": steps,
        "baseline": dict(story.baseline),
        "since": changes_json(story.since) if story.since else None,
        "repeat": story.again,
        "next": next_command(story),
        "missing": list(story.missing),
    }


def _step(step: str, record: Mapping[str, Any]) -> dict[str, Any]:
    times = {"started": record.get("started", ""), "ended": record.get("ended", ""), "seconds": _seconds(record)}
    more = {"kept": record.get("kept", ""), "job": record.get("job"), "links": record.get("links", {})}
    more["environment"] = record.get("environment", "")
    return {"step": step, **times, "tries": record.get("tries", 1), **more}


def changes_json(since: Changes) -> dict[str, Any]:
    return {
        "before": since.before,
        "after": since.after,
        "commits": [{"commit": commit.sha, "author": commit.author, "subject": commit.subject} for commit in since.commits],
        "ahead": since.ahead,
        "behind": since.behind,
        **{what: {name: list(pair) for name, pair in getattr(since, what).items()} for what in ("config", "base", "deps")},
    }
