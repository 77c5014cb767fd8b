"""Which Python the team's commands run on, on this machine."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An executable, and who chose it."""

    path: str
    origin: str


def choose_interpreter(setting: str, flow: str, root: Path, environ: Mapping[str, str]) -> Interpreter:
    """`[flow].python`, else the active environment's, else the tool's own.

    `setting` is a path (from `root`, the settings' directory) or a name on PATH. Raises SettingsError when there is none.
    """
    if setting:
        return Interpreter(_found(setting, flow, root, environ), f"[flow.{flow}] python")
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        python = Path(environ.get(variable) or "/nowhere") / "bin" / "python"
        if python.exists():
            return Interpreter(str(python), f"the active environment, ${variable}")
    return Interpreter(sys.executable, "the tool's own: no environment is active")


def _found(setting: str, flow: str, root: Path, environ: Mapping[str, str]) -> str:
    path = Path(setting).expanduser()
    if "/" in setting:
        path = root / path
        # Not resolved: a virtual environment's python is a link, and knows its packages by its own path.
        found = str(path) if path.is_file() else None
    else:
        found = shutil.which(setting, path=environ.get("PATH"))
    if found is None:
        raise SettingsError(f"[flow.{flow}] python: there is no {setting} here", "name an interpreter on PATH, or its path")
    return found
