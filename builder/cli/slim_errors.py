"""Errors of the library repo_slim, as errors of this tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import BuilderError, UsageError

if TYPE_CHECKING:
    from repo_slim.errors import SlimError


def translated(error: SlimError) -> BuilderError:
    from repo_slim.errors import AskedError

    kind = UsageError if isinstance(error, AskedError) else BuilderError
    return kind(error.message, error.hint)
