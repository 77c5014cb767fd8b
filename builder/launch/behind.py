"""The path of a team's own flow: the team's, and this tool behind everything else.

PYTHONPATH comes before what an interpreter has installed, so the tool cannot stand at its end. See builder/behind/sitecustomize.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = "builder/behind"
"""Where the hook is, from the directory that holds this tool's packages."""

TOOL_PATH = "BUILDER_TOOL_PATH"


def with_tool_behind(path: Sequence[str], tool: Sequence[str]) -> dict[str, str]:
    """The variables for an interpreter that looks through `path`, then through what it has installed, then through `tool`.

    The first entry of `tool` is the directory that holds this tool's packages.
    """
    return {"PYTHONPATH": os.pathsep.join((f"{tool[0]}/{FOLDER}", *path)), TOOL_PATH: os.pathsep.join(tool)}


def path_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The entries of PYTHONPATH."""
    return tuple(entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry)


def beside(workdir: str, file: str) -> str:
    """The directory of a flow file: Python looks there first when it runs the file as a script."""
    return str((Path(workdir) / file).parent)
