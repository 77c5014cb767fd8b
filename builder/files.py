"""Writing small files whole: a reader finds the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Writes aside in the same directory, which is made when it is missing, and renames. Nothing is left behind when it fails.

    The rights of a file that is there stay; a new one has what the umask leaves. Raises OSError. It is not flushed to the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name[:100]}.{os.urandom(8).hex()}")
    try:
        with aside.open("xb") as file:
            file.write(data)
        with contextlib.suppress(FileNotFoundError):
            aside.chmod(path.stat().st_mode & 0o777)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
