"""What a deploy or a rollback that is only looked at would do, in sentences: stdout keeps the names that scripts read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from builder.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.cli.deploy import Asked, Done
    from builder.deploy.apply import Applied

_SCHEDULE = "schedule"
_DOING = ("created", "changed", "removed")


def foretell(done: Done, asked: Asked) -> None:
    """Says which schedule would start which commit instead of which, what else would be done, and how to do it."""
    what = f"{done.sha[:12]} {done.subject}".strip()
    for applied in done.applied:
        if applied.kind == _SCHEDULE and applied.done in _DOING:
            output.note(f"schedule {applied.name} {_of_schedule(applied, what)}")
    if others := _others(done.applied):
        output.note(f"{what if not asked.bootstrap else 'the namespace'}: {others}")
    options = " and ".join(word for word, given in (("--dry-run", asked.dry_run), ("--diff", asked.diff)) if given)
    output.note(f"nothing is done yet; the same command without {options} does it")


def _of_schedule(applied: Applied, what: str) -> str:
    if applied.done == "removed":
        return "would be removed"
    if applied.done == "created":
        return f"would be made, and start {what}"
    if applied.before.partition(" ")[0] == what.partition(" ")[0]:
        return f"would be changed, and start {what} as before"
    return f"would start {what} instead of {applied.before or 'what it starts now'}"


def _others(applied: Iterable[Applied]) -> str:
    """`1 template would be created, 1 queue would be changed`; empty when nothing would."""
    counted = Counter((each.kind, each.done) for each in applied if each.kind != _SCHEDULE and each.done in _DOING)
    return ", ".join(f"{output.plural(count, kind)} would be {done}" for (kind, done), count in counted.items())
