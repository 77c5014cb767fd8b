"""Whether what `builder deploy --to` names can be a directory for manifests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import BuilderError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.source.repository import Git


def check_place(git: Git, place: str, flows: Sequence[str]) -> None:
    """Raises UsageError for a file, and for a revision: where --rollback was forgotten, a directory `HEAD~1` would be made."""
    directory = Path(place)
    nearest = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise UsageError(f"{nearest} is a file", "--to takes a directory for the manifests, which is made where there is none")
    if nearest is not directory and _is_revision(git, place):
        flow = flows[0] if len(flows) == 1 else "FLOW"
        hint = f"back to that commit: builder deploy --rollback {flow} --to {place}; a directory of that name: --to ./{place}"
        raise UsageError(f"there is no directory {place}, and git knows a commit of that name", hint)


def _is_revision(git: Git, place: str) -> bool:
    if place.startswith((".", "/")):
        return False
    try:
        git.resolve(place)
    except BuilderError:
        return False
    return True
