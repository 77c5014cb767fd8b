"""Whether a pod can write and read the data root, which doctor asks: `python -m builder.steps.probe ROOT ENDPOINT KEY`."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from builder.data.open import open_root
from builder.errors import BuilderError, DataError

_DATA = b"written by builder doctor\n"


def main(argv: list[str]) -> int:
    """Says in one line what was found, with the version of Metaflow that steps have."""
    root, endpoint, key = argv
    try:
        probe(root, endpoint, key)
    except BuilderError as error:
        print(f"{error.message}; {error.hint}" if error.hint else error.message)  # noqa: T201 - its only reader is doctor
        return 1
    print(f"{root} can be written and read; Metaflow {_metaflow()}")  # noqa: T201
    return 0


def probe(root: str, endpoint: str, key: str) -> None:
    """Leaves nothing behind. Raises DataError, AuthError."""
    objects = open_root(root, Path("/"), endpoint)
    objects.put(key, _DATA)
    found = objects.get(key)
    objects.delete([key])
    if found != _DATA:
        raise DataError(f"{objects.url(key)} does not hold what was written there", "does somebody else delete there?")


def _metaflow() -> str:
    try:
        return version("metaflow")
    except PackageNotFoundError:
        return "is not there"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
