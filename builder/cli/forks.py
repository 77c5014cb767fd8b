"""The build of a fork's pull request has no credentials: what it cannot bring is no failure of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from builder.cli import output, wiring
from builder.errors import AuthError


@contextmanager
def forgiven(what: str) -> Iterator[None]:
    """Ends the command where a registry refuses a fork; everywhere else the refusal is an error."""
    try:
        yield
    except AuthError as error:
        if not wiring.build_here().fork:
            raise
        output.warn(error.message)
        output.note(f"this is the build of a fork's pull request, which has no credentials: {what}; that is no failure")
