"""What `builder show FLOW --history` prints: which commit was live when, and by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from builder.cli import output
from builder.errors import BuilderError

if TYPE_CHECKING:
    from builder.cli.reading import Reader
    from builder.deploy.history import Era


def show_history(reader: Reader, flow: str, last: int, form: str) -> None:
    found = _eras(reader, flow, last)
    if form == "json":
        output.document([as_json(era) for era in found])
        return
    output.table(("SINCE", "UNTIL", "SCHEDULE", "COMMIT", "SUBJECT", "BY", "HOW"), [_row(era) for era in found])
    if not found:
        output.note(f"no schedule has started {flow} yet; next: builder deploy {flow}")
        return
    newest = found[0].deployed
    output.note(f"next: builder show {newest.commit[:12]}, or back to the last green one: builder deploy --rollback {flow} --dry-run")


def _eras(reader: Reader, flow: str, last: int) -> list[Era]:
    """What is written down, and what the cluster says of now; without it where it cannot be asked, which is said."""
    from builder.deploy.history import eras

    namespace = reader.settings.deploy.namespace
    try:
        return eras(reader.objects, reader.connect(), flow, namespace, last)
    except BuilderError as error:
        output.warn(f"what is live now is not known: {error.message}")
        return eras(reader.objects, None, flow, namespace, last)


def as_json(era: Era) -> dict[str, Any]:
    """The documented form (docs/reference/json.md)."""
    found = era.deployed
    return {
        "schedule": found.schedule,
        "when": found.when,
        "until": era.until,
        "commit": found.commit,
        "subject": found.subject,
        "reference": found.reference,
        "template": found.template,
        "who": found.who,
        "how": found.how,
        "before": found.before,
    }


def _row(era: Era) -> tuple[str, ...]:
    found = era.deployed
    return found.when, era.until or "now", found.schedule, found.commit[:12], found.subject, found.who, found.how
