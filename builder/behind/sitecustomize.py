"""Puts this tool behind everything else that can be imported: for a team's own flow, which takes from the tool only what it lacks.

Python imports a `sitecustomize` when the rest of its path is settled (https://docs.python.org/3/library/site.html), in every process that a
flow starts, too. This file's directory is first on PYTHONPATH, so that it is found; it takes itself out, and whichever `sitecustomize` the
team or the machine has is imported in its place. Any interpreter may read this: nothing in it needs a new Python.
"""

import os
import sys

_VARIABLE = "BUILDER_TOOL_PATH"


def _step_aside():
    # type: () -> None
    own = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib takes 10 ms to import
    sys.path[:] = [entry for entry in sys.path if not entry or os.path.abspath(entry) != own]  # noqa: PTH100
    ours = sys.modules.pop(__name__)
    try:
        __import__(__name__)
    finally:
        sys.modules.setdefault(__name__, ours)
        sys.path += [entry for entry in os.environ.get(_VARIABLE, "").split(os.pathsep) if entry and entry not in sys.path]


try:
    _step_aside()
except ImportError as error:
    if error.name != __name__:
        raise
