"""Commits that no remote has: sent to the data root when they run, so that everybody else finds them there."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.cli import output
from builder.errors import BuilderError

if TYPE_CHECKING:
    from builder.data.interface import Objects
    from builder.model.tree import Commit
    from builder.settings import Settings
    from builder.source.repository import Git


@contextmanager
def shared(git: Git, settings: Settings, commit: Commit) -> Iterator[None]:
    """Sends the commit meanwhile, if no remote has it and the data root is not this machine's. A run does not fail of that."""
    if "://" not in settings.data.root:
        yield
        return
    from builder.runs.bundles import send

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send, git, _objects(settings), commit)
        yield
        try:
            sent.result()
        except BuilderError as error:
            output.warn(f"{commit.sha[:12]} is only in this clone, and nobody else can run it: {error.message}")


def _objects(settings: Settings) -> Objects:
    from builder.data.open import open_root
    from builder.runs.prepare import data_of

    data = data_of(settings)
    return open_root(data.root, settings.root, data.endpoint)
