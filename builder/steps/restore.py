"""Gives a commit's commands the files back that `slim-repo` took out of its history, in the commit's tree, before they start.

The image stays as it is: they are written where the step runs. `python -m builder.steps.restore` is what a team's own flow begins with.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from builder.data.bring import bring
from builder.data.ledger import now
from builder.data.restore_list import read_list
from builder.errors import BuilderError
from builder.files import write_whole
from builder.model.removed import Lost
from builder.steps.request import Request, task_of
from builder.steps.root import archive_of, ledger_of, objects_of

_ASIDE = ".builder-restoring"
_MARK, _LOCK = "restored", "restored.lock"


def restored(request: Request) -> dict[str, Any]:
    """What there is to say about it in the step's record: `list`, `was` (the commit's old name), `files` and `size` in bytes; empty when
    the request restores nothing.

    Done once for a tree: commands may change what they got. Raises DataError, IntegrityError.
    """
    if not request.restore:
        return {}
    lost = read_list(objects_of(request), request.restore)
    output = Path(request.place.output)
    output.mkdir(parents=True, exist_ok=True)
    with _alone(output / _LOCK):
        if not (output / _MARK).exists():
            workdir = Path(request.place.workdir)
            bring(archive_of(request), lost.files, workdir, workdir / _ASIDE)
            write_whole(output / _MARK, request.restore.encode())
    return {"restored": _summary(request, lost)}


def restored_by(request: Request) -> dict[str, Any]:
    """The same, of a run whose steps did it."""
    return _summary(request, read_list(objects_of(request), request.restore)) if request.restore else {}


def _summary(request: Request, lost: Lost) -> dict[str, Any]:
    return {"list": request.restore, "was": lost.was, "files": len(lost.files), "size": lost.size}


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Steps of one machine share a tree."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(environ: Mapping[str, str], step: str = "") -> int:
    """For a team's own flow. Where each step has its pod (`step` is named) the ledger gets to know why one cannot begin."""
    request = task_of(environ["BUILDER_REQUEST"], environ["BUILDER_RUN"], 0).request
    try:
        restored(request)
    except BuilderError as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
        if step:
            record = {"state": "failed", "ended": now(), "end": "failed", "error": error.message, "hint": error.hint}
            ledger_of(request).write(request.run, step, {"commit": request.commit, "started": now(), **record})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ, *sys.argv[1:2]))
