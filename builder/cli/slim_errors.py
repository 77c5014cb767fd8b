"""Errors of the library repo_slim, as errors of this tool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from builder.errors import BuilderError, UsageError

if TYPE_CHECKING:
    from repo_slim.errors import SlimError


def translated(error: SlimError) -> BuilderError:
    from repo_slim.errors import AskedError

    kind = UsageError if isinstance(error, AskedError) else BuilderError
    return kind(error.message, error.hint)


@contextmanager
def going_on() -> Iterator[None]:
    """Errors become ours, and ctrl-C says that nothing of the work is lost."""
    from repo_slim.errors import SlimError

    try:
        yield
    except SlimError as error:
        raise translated(error) from error
    except KeyboardInterrupt as error:
        raise click.Abort("run the same line again, it goes on") from error
