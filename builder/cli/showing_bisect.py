"""What `builder bisect` prints: each verdict, what a search would cost, and which commit it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from builder.bisect.search import contradictions, steps_left
from builder.cli import output
from builder.cli.comparing import as_json as comparison_json
from builder.cli.comparing import compare_sides, show_comparison
from builder.cli.following import number
from builder.errors import LaunchError

if TYPE_CHECKING:
    from builder.bisect.blame import Blame, File
    from builder.bisect.cost import Usual
    from builder.bisect.evidence import Opinion
    from builder.bisect.hunt import Found, Need, Task
    from builder.cli.bisecting import Bench
    from builder.cli.comparing import Comparison

_FILES, _LINES = 20, 60
"""How many files are listed, and how long a diff may be that is shown."""


def say_verdict(task: Task, bench: Bench, sha: str, known: Opinion, found: Found) -> None:
    """One line: `abc1234 Subject: good, click 0.9100; 3 commits left, 2 steps`."""
    left = len(found.step.suspects)
    steps = f", {output.plural(steps_left(left, task.width), 'step')}" if found.step.tests else ""
    output.note(f"{_label(bench, sha)}: {_verdict_words(task, known)}; {output.plural(left, 'commit')} left{steps}")
    if known.judgement.split:
        output.warn(f"runs of {sha[:7]} disagree: {_values(known)}")


def _label(bench: Bench, sha: str) -> str:
    return f"{sha[:7]} {bench.commit(sha).subject}"


def _verdict_words(task: Task, known: Opinion) -> str:
    if known.verdict == "skip":
        return f"passed over: {known.why}"
    return f"{known.verdict}, {task.metric.name} {number(known.judgement.value)}"


def _values(known: Opinion) -> str:
    return " ".join(number(value) for value in known.evidence.values.values())


def show_plan(task: Task, found: Found, bench: Bench, need: Need, usual: Usual, form: str) -> None:
    """What is known, what would be tested next, and what the whole would cost."""
    from builder.bisect.cost import words_of
    from builder.bisect.hunt import untested_ends

    tests = untested_ends(task, found) or list(found.step.tests)
    if form == "json":
        cost = {"low": need.low, "high": need.high, "rounds": need.rounds, **asdict(usual)}
        output.document({**_about(task, found, bench), "next": tests, "cost": cost})
        return
    _table(task, found, bench)
    if tests:
        output.note(f"next to be tested: {', '.join(sha[:7] for sha in tests)}")
        output.note(words_of(need, usual))
    else:
        names = ", ".join(_label(bench, sha) for sha in found.step.suspects)
        one = "the first bad commit" if len(found.step.suspects) == 1 else "the first bad commit is one of these"
        output.note(f"nothing is left to be tested; {one}: {names}; without --dry-run the same command tells more of it")


def show_end(task: Task, found: Found, bench: Bench, form: str) -> None:
    """Raises LaunchError when it could not be told which commit it was."""
    from builder.bisect.blame import blame_of

    blame = blame_of(bench.git, task, found)
    comparison = compare_sides(bench.reader, bench.flow, [bench.side(blame.before, "good"), bench.side(blame.commit.sha, "bad")])
    doubt = _doubt(task, found, comparison)
    for text in (warnings := list(_warnings(task, found, bench))):
        output.warn(text)
    if form == "json":
        more = {"warnings": warnings, "started": bench.started, "comparison": comparison_json(comparison)}
        output.document({**_about(task, found, bench), "sure": not doubt, "commit": _blame_json(blame), **more})
    else:
        _table(task, found, bench)
        output.result("")
        for line in _blame_lines(found, bench, blame):
            output.result(line)
        output.result("")
        show_comparison(comparison, form)
    if doubt:
        raise LaunchError(*doubt)
    output.note(f"next: git show {blame.commit.sha[:12]}; builder compare {blame.before[:12]} {blame.commit.sha[:12]}")


def _doubt(task: Task, found: Found, comparison: Comparison) -> tuple[str, str] | None:
    """Why nobody can tell which commit it was, and what to do about it."""
    suspects = found.step.suspects
    if len(suspects) > 1:
        names = ", ".join(sha[:12] for sha in suspects)
        hint = "mend what keeps them from running, in a branch, or run them with other words; the same command then goes on"
        return f"it is one of {len(suspects)} commits, of which all but {found.step.head[:12]} were passed over: {names}", hint
    row = next((row for row in comparison.rows if row.metric == task.metric.name), None)
    change = row.changes[1] if row else None
    if change is not None and change.within:
        sides = " and ".join(side.commit[:12] for side in comparison.sides)
        text = f"{sides} cannot be told apart: runs of one commit differ in {task.metric.name} as much as the two do"
        return text, f"--repeat {2 * task.repeat + 1} goes on with more runs; another threshold may lie clearer between good and bad"
    return None


def _warnings(task: Task, found: Found, bench: Bench) -> Iterator[str]:
    known = found.opinions.get(task.good)
    why = known.why if known and known.verdict == "skip" else "" if known else bench.refusal(task.good)
    if why:
        yield f"the good end {task.good[:12]} was not tested, but believed: {why}"
    for old, new in contradictions(task.graph, found.verdicts):
        yield f"{old[:7]} is bad, and {new[:7]}, which comes after it, is good: there is noise, or more than one change"


def _table(task: Task, found: Found, bench: Bench) -> None:
    """What is known of commits, newest first."""
    shown = [sha for sha in task.commits if sha in found.opinions]
    if not shown:
        return
    rows = [_row(found.opinions[sha], sha, bench) for sha in shown]
    output.table(("COMMIT", "SUBJECT", "VERDICT", task.metric.name, "RUNS"), rows, right=(task.metric.name,))


def _row(known: Opinion, sha: str, bench: Bench) -> tuple[str, ...]:
    several = f" ({_values(known)})" if len(known.evidence.values) > 1 else ""
    verdict = {"skip": "passed over", None: "open"}.get(known.verdict, str(known.verdict))
    value = f"{number(known.judgement.value)}{several}"
    return sha[:7], bench.commit(sha).subject, verdict, value, " ".join([*known.evidence.values, *known.evidence.failed]) or known.why


def _blame_lines(found: Found, bench: Bench, blame: Blame) -> Iterator[str]:
    if len(found.step.suspects) == 1:
        yield f"{blame.commit.sha} is the first bad commit"
        yield from _person_lines(blame)
    else:
        yield "the first bad commit is one of these:"
        yield from (f"  {_label(bench, sha)} ({bench.commit(sha).author})" for sha in found.step.suspects)
    yield f"code, from {blame.before[:7]}: {output.plural(len(blame.files), 'file')}"
    yield from (f"  {file.path}  {_lines_words(file)}" for file in blame.files[:_FILES])
    if len(blame.files) > _FILES:
        yield f"  and {len(blame.files) - _FILES} more"
    if len(blame.diff) <= _LINES:
        yield from (f"    {line}" for line in blame.diff)
    else:
        yield f"  {len(blame.diff)} lines: git diff {blame.before[:12]} {blame.commit.sha[:12]}"


def _person_lines(blame: Blame) -> Iterator[str]:
    yield f"  author:  {blame.author}"
    yield f"  date:    {blame.date}"
    yield f"  subject: {blame.commit.subject}"


def _lines_words(file: File) -> str:
    return "binary" if file.added is None else f"+{file.added} -{file.removed}"


def _about(task: Task, found: Found, bench: Bench) -> dict[str, Any]:
    return {
        "flow": bench.flow,
        "metric": str(task.metric),
        "good": task.good,
        "bad": task.bad,
        "on": bench.on,
        "repeat": task.repeat,
        "suspects": list(found.step.suspects),
        "tested": [_tested_json(found.opinions[sha], sha, bench) for sha in task.commits if sha in found.opinions],
    }


def _tested_json(known: Opinion, sha: str, bench: Bench) -> dict[str, Any]:
    return {
        "commit": sha,
        "subject": bench.commit(sha).subject,
        "verdict": known.verdict,
        "value": known.judgement.value,
        "values": dict(known.evidence.values),
        "going": list(known.evidence.going),
        "failed": dict(known.evidence.failed),
        "why": known.why,
    }


def _blame_json(blame: Blame) -> dict[str, Any]:
    person = {"commit": blame.commit.sha, "author": blame.author, "date": blame.date, "subject": blame.commit.subject}
    return {**person, "before": blame.before, "files": [asdict(file) for file in blame.files]}
