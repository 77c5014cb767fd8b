"""The data root of a run, as its steps reach it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from builder.data.interface import Objects
from builder.data.ledger import Ledger
from builder.data.open import open_archive, open_root
from builder.settings import DataSettings
from builder.steps.request import Request


def objects_of(request: Request) -> Objects:
    return _open(request.data)


def archive_of(request: Request) -> Objects:
    """Where lies what `slim-repo` took out of the history."""
    return open_archive(request.data)


def ledger_of(request: Request) -> Ledger:
    return Ledger(objects_of(request))


@lru_cache
def _open(data: DataSettings) -> Objects:
    return open_root(data.root, Path("/"), data.endpoint)
