"""`python -m builder.runs.chained`: what Argo starts at the end of a workflow, after the end is written down: the flows that come after."""

from __future__ import annotations

import os
from collections.abc import Mapping

from builder.data.ledger import EXIT, Ledger
from builder.errors import BuilderError
from builder.runs.child_on_argo import OnArgo
from builder.runs.children import following, link, refuse
from builder.runs.own_outbox import kept_children
from builder.steps.outbox import check_depth
from builder.steps.request import Request, Start, Starter, task_of
from builder.steps.root import ledger_of


def main(environ: Mapping[str, str]) -> None:
    request = task_of(environ["BUILDER_REQUEST"], environ["BUILDER_RUN"], 0).request
    start_following(request, OnArgo())


def start_following(request: Request, starter: Starter) -> None:
    """Starts the flows that come after a run which ended as the ledger says, and writes down which runs came of it."""
    ledger = ledger_of(request)
    starts = list(following(request, str(ledger.read(request.run).get(EXIT, {}).get("state", ""))))
    for start in starts:
        _begin(request, ledger, starter, start)
    asked = kept_children(request) if request.settings.file else []
    link(ledger, request.run, EXIT, [*asked, *(start.run for start in starts)])


def _begin(request: Request, ledger: Ledger, starter: Starter, start: Start) -> None:
    """One that cannot start is a run that failed: the ledger says why."""
    try:
        check_depth(start)
        starter.prepare(request, start)()
    except BuilderError as error:
        refuse(ledger, start, error)


if __name__ == "__main__":
    main(os.environ)
