"""Console scripts, written here from what the packages declare: the installer's own differ from version to version.

https://packaging.python.org/en/latest/specifications/entry-points/
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution
from pathlib import Path

from builder.errors import DepsError

SHEBANG = b"#!/usr/bin/env python"
_GROUPS = ("console_scripts", "gui_scripts")
_NAME = re.compile(r"[\w-][\w.+-]*")
_TARGET = re.compile(r"([A-Za-z_][\w.]*)\s*:\s*([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*)*)\s*(?:\[.*\])?")


def entry_scripts(info: Path, python: str) -> dict[str, bytes]:
    """Path below the packages' directory and content of each script that `entry_points.txt` in a `.dist-info` declares.

    Raises DepsError for one that is no `name = module:function`.
    """
    declared = Distribution.at(info).entry_points
    return {
        f"bin/{entry.name}": _script(info, entry.name, entry.value, python) for group in _GROUPS for entry in declared.select(group=group)
    }


def _script(info: Path, name: str, value: str, python: str) -> bytes:
    target = _TARGET.fullmatch(value.strip())
    if target is None or not _NAME.fullmatch(name):
        hint = "install the package in a Dockerfile instead ([image.deps] dockerfile)"
        raise DepsError(f"{info.name} declares a script {name!r} = {value!r}, which is no module:function", hint)
    module, function, inner = target.groups()
    return (
        SHEBANG
        + f'{python}\nimport sys\nfrom {module} import {function}\nif __name__ == "__main__":\n    sys.exit({function}{inner}())\n'.encode()
    )
