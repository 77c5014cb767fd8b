"""The path of a team's own flow: the team's, and this tool behind everything else.

PYTHONPATH comes before what an interpreter has installed, so the tool cannot stand at its end. See builder/behind/sitecustomize.py.
"""

from __future__ import annotations

import os
import sys
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


def tool_path() -> tuple[str, ...]:
    """Where a process finds this tool and what it needs, whatever its working directory is."""
    own = str(Path(__file__).parents[2])
    return tuple(dict.fromkeys((own, *(entry for entry in sys.path if entry and "site-packages" in entry))))


def path_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The entries of PYTHONPATH."""
    return tuple(entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry)


def beside(workdir: str, file: str) -> str:
    """The directory of a flow file: Python looks there first when it runs the file as a script."""
    return str((Path(workdir) / file).parent)


def below(pythonpath: Sequence[str], workdir: str) -> tuple[str, ...]:
    """`[image] pythonpath` relative to the commit's tree, wherever that is; absolute entries that are not inside `workdir` are left out."""
    inside = workdir.rstrip("/") + "/"
    relative = (entry.removeprefix(inside) if entry.startswith(inside) else "." if entry == workdir else entry for entry in pythonpath)
    return tuple(entry for entry in relative if not entry.startswith("/"))
