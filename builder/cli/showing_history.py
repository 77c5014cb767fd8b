"""What `builder show FLOW --history` prints: which commit was live when, and by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from builder.cli import output
from builder.errors import BuilderError

if TYPE_CHECKING:
    from builder.cli.reading import Reader
    from builder.deploy.history import Era


def show_history(reader: Reader, flow: str, last: int, form: str) -> None:
    found, silent = _eras(reader, flow, last)
    if silent and (found or form == "json"):
        output.warn(f"what is live now is not known: {silent.message}")
    if form == "json":
        output.document([as_json(era) for era in found])
        return
    if not found:
        _say_nothing(reader, flow, silent)
        return
    output.table(("SINCE", "UNTIL", "SCHEDULE", "COMMIT", "SUBJECT", "BY", "HOW"), [_row(era) for era in found])
    newest = found[0].deployed
    output.note(f"next: builder show {newest.commit[:12]}, or back to the last green one: builder deploy --rollback {flow} --dry-run")


def _say_nothing(reader: Reader, flow: str, silent: BuilderError | None) -> None:
    """Which is no more than is known: what Argo CD or Flux carries to a cluster is not written down in the data root."""
    if silent is None:
        output.note(f"no schedule has started {flow} yet; next: builder deploy {flow}")
        return
    output.note(f"none that the data root ({reader.objects.name}) knows of; the cluster was not asked: {silent.message}")
    hint = f"{silent.hint}; " if silent.hint else ""
    output.note(f"next: {hint}where `builder deploy --to DIR` commits, `git log` of DIR tells")


def _eras(reader: Reader, flow: str, last: int) -> tuple[list[Era], BuilderError | None]:
    """What is written down, and what the cluster says of now; without it, and with the reason, where it cannot be asked."""
    from builder.deploy.history import eras

    namespace = reader.settings.deploy.namespace
    try:
        return eras(reader.objects, reader.connect(), flow, namespace, last), None
    except BuilderError as error:
        return eras(reader.objects, None, flow, namespace, last), error


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
