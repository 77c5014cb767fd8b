"""Files that come with the tool and are no Python packages: workflows, dockerfiles, examples."""

from __future__ import annotations

from pathlib import Path

from builder.errors import BuilderError

_PACKAGE = Path(__file__).parent


def data_path(name: str) -> Path:
    """Where a file or directory such as `workflows/finetune.py` is: in the installed package, else in the checkout."""
    for root in (_PACKAGE / "_data", _PACKAGE.parent):
        if (root / name).exists():
            return root / name
    raise BuilderError(f"{name} is missing from this installation of builder", "install it again")
