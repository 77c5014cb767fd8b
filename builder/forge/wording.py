"""What a commit's status and a pull request's comment say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from builder.forge.interface import Pull, Status
from builder.model import units

MARKER = "<!-- builder image: one comment, kept up to date -->"
ROWS = 20
_LONGEST = 140
"""Of a status: https://docs.github.com/en/rest/commits/statuses#create-a-commit-status"""
_MEMORY = re.compile(r"<!-- (\{.*\}) -->")
_SHA, _DIGEST = re.compile(r"[0-9a-f]{40}\Z"), re.compile(r"sha256:[0-9a-f]{64}\Z")
_BACKTICK = "\N{MODIFIER LETTER GRAVE ACCENT}"  # looks like one, and ends no code


@dataclass(frozen=True, slots=True)
class Cost:
    """What making an image took: bytes that were sent, seconds."""

    new_bytes: int
    seconds: float

    def __str__(self) -> str:
        return f"{units.size(self.new_bytes)}, {units.duration(self.seconds)}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A commit and its image. `cost` is None where the image was there before; without a `digest` there is none, and `why` says why.

    `waits`: nothing is wrong with the commit, and somebody else can make its image. `run` are the lines to paste.
    """

    sha: str
    digest: str = ""
    cost: Cost | None = None
    why: str = ""
    waits: bool = False
    run: tuple[str, ...] = ()


def status_of(outcome: Outcome, link: str) -> Status:
    """What counts comes first, as a narrow page shows no more."""
    if outcome.digest:
        parts = [str(outcome.cost) if outcome.cost else "was there", *outcome.run[:1], outcome.digest]
        return Status("success", _cut(" · ".join(parts)), link)
    return Status("pending" if outcome.waits else "failure", _cut(f"no image: {_line(outcome.why)}"), link)


def comment_of(pull: Pull, outcomes: Mapping[str, Outcome], before: str) -> str:
    """The comment. `outcomes` has each of the request's newest commits; `before`, the comment as it was, knows what earlier images took.

    The same outcomes give the same text.
    """
    remembered = {**memory_of(before), **{sha: (each.digest, each.cost) for sha, each in outcomes.items() if each.digest and each.cost}}
    shown = [(sha, subject) for sha, subject in reversed(pull.commits) if sha in outcomes][:ROWS]
    known = {sha: remembered[sha][1] for sha, _ in shown if sha in remembered and remembered[sha][0] == outcomes[sha].digest}
    lines = [MARKER, _memory({sha: (outcomes[sha].digest, cost) for sha, cost in known.items()}), *_head(outcomes, shown)]
    lines += ["| commit | | image | new, time | to run it |", "|---|---|---|--:|---|"]
    lines += [_row(subject, outcomes[sha], known.get(sha)) for sha, subject in shown]
    older = len(pull.commits) - len(shown)
    return "\n".join([*lines, *([f"\n{older} older commits are not listed."] if older else [])])


def memory_of(text: str) -> dict[str, tuple[str, Cost]]:
    """sha -> digest and cost, as an earlier comment of ours remembers them. What makes no sense is left out."""
    match = _MEMORY.search(text)
    try:
        found = json.loads(match[1]) if match else {}
        rows = found.items() if isinstance(found, dict) else ()
        return {sha: (digest, Cost(int(size), float(seconds))) for sha, (digest, size, seconds) in rows if _sound(sha, digest)}
    except (ValueError, TypeError, OverflowError, RecursionError):
        return {}


def _sound(sha: str, digest: object) -> bool:
    return bool(_SHA.match(sha) and isinstance(digest, str) and _DIGEST.match(digest))


def _memory(costs: Mapping[str, tuple[str, Cost]]) -> str:
    rows = {sha: [digest, cost.new_bytes, round(cost.seconds, 3)] for sha, (digest, cost) in costs.items()}
    return f"<!-- {json.dumps(rows)} -->"


def _head(outcomes: Mapping[str, Outcome], shown: Sequence[tuple[str, str]]) -> Iterator[str]:
    newest = next((outcomes[sha] for sha, _ in shown if outcomes[sha].digest), None)
    if newest is None:
        yield "No commit of this pull request has an image yet.\n"
    elif newest.run:
        yield f"Run its newest image: `{newest.run[0]}`\n"


def _row(subject: str, outcome: Outcome, cost: Cost | None) -> str:
    if not outcome.digest:
        return f"| {outcome.sha} | {_code(subject[:60])} | none: {_code(outcome.why[:200])} | | |"
    run = "<br>".join(_code(line) for line in outcome.run)
    return f"| {outcome.sha} | {_code(subject[:60])} | {_code(outcome.digest)} | {cost or 'was there'} | {run} |"


def _code(text: str) -> str:
    """Any text as it is: nobody is called by it, and it ends neither the code nor the table's cell."""
    inner = _line(text).replace("`", _BACKTICK).replace("|", "\\|")
    return f"`{inner}`" if inner else ""


def _line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
