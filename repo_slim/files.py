"""Files of the working directory: written whole, or not at all."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from repo_slim.errors import SlimError


def write_whole(path: Path, data: bytes) -> None:
    """Writes aside, to the disk, and renames: whoever reads sees all of it or what was there before."""
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise SlimError(f"{path} cannot be written: {error.strerror}", "look at the disk and its rights, then run it again") from error


def canonical(value: Any) -> bytes:
    """JSON that is the same for the same value: sorted keys, no spaces, ASCII. Lone surrogates stand for bytes that are no UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def digest(*parts: bytes | str) -> str:
    """64 hex digits of the parts, each with its length, so that no two lists give the same text."""
    seen = hashlib.sha256()
    for part in parts:
        data = os.fsencode(part) if isinstance(part, str) else part
        seen.update(b"%d:" % len(data))
        seen.update(data)
    return seen.hexdigest()


def json_lines(values: Iterable[Any]) -> bytes:
    return b"".join(canonical(value) + b"\n" for value in values)


def remove(path: Path) -> None:
    """Takes a file or a directory away, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def aside_of(path: Path, kind: str = "part") -> Path:
    """A name beside it for what another program makes; no two runs have the same one.

    Such a program goes on for a while when ours is killed, and leaves locks when it is killed itself: both are in nobody's way. What is
    left of runs before is taken away, as far as that goes.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.{kind}*"):
        with suppress(OSError):
            remove(left)
    return path.with_name(f".{path.name}.{kind}-{secrets.token_hex(4)}")


def link_or_copy(source: Path, target: Path) -> None:
    """The same bytes under another name, whole or not at all; a hard link where the file system lets us."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.part")
    aside.unlink(missing_ok=True)
    try:
        os.link(source, aside)
    except OSError:
        shutil.copyfile(source, aside)
    aside.replace(target)
