"""`python -m builder.cli.elsewhere`: what the starter's pod runs. It clones the repository, and types `builder run` as a run asked for.

The settings in force are those of whoever started the run that asks: they lie above the clone, which has no files.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli import frame
from builder.cli.errors import Flags, guarded
from builder.errors import BuilderError, LaunchError

if TYPE_CHECKING:
    from builder.data.ledger import Ledger
    from builder.steps.request import Start


def main(environ: Mapping[str, str]) -> int:
    from builder.deploy.starter import ASKED, COMMIT, SETTINGS, STATUS
    from builder.steps.request import Start

    start, here = Start.unpack(environ[ASKED]), Path.cwd()
    (here / "builder.toml").write_bytes(base64.b64decode(environ[SETTINGS]))
    if STATUS in environ:
        return guarded(lambda: _ended(start, here, environ[STATUS]), Flags())
    code = guarded(lambda: _clone(start, here, environ), Flags())
    return code or frame.run(command_line(start, environ[COMMIT], here))


def command_line(start: Start, commit: str, here: Path) -> list[str]:
    from builder.runs.child_here import command_line

    return command_line(start, commit, "argo", here / _CLONE)[3:]  # without `python -m builder`


_CLONE = "repository.git"


def _clone(start: Start, here: Path, environ: Mapping[str, str]) -> None:
    from builder.deploy.starter import URL
    from builder.runs.children import refuse
    from builder.source.clone import clone_bare, with_token

    os.environ.update(with_token(environ[URL], environ))  # git fetches files' contents later, too
    try:
        clone_bare(environ[URL], here / _CLONE)
    except BuilderError as error:
        refuse(_ledger(here), start, error)
        raise


def _ended(start: Start, here: Path, status: str) -> None:
    """What died before it could say why: out of memory, or an image that cannot be pulled."""
    from builder.runs.children import refuse

    if status != "Succeeded":
        text = f"{start.where}: {start.run} was not started: its starter ended as {status}"
        refuse(_ledger(here), start, LaunchError(text, f"kubectl describe workflow start-{start.run}", "lost"))


def _ledger(here: Path) -> Ledger:
    from builder.data.ledger import Ledger
    from builder.data.open import open_root
    from builder.settings import load

    data = load(here, os.environ).data
    return Ledger(open_root(data.root, here, data.endpoint))


if __name__ == "__main__":
    sys.exit(main(os.environ))
