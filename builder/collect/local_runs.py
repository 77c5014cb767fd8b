"""Directories of runs on this machine, `.builder/runs/<run>`: the commit's files, and what steps wrote there. Results are in the data root.

What goes is renamed first: nobody finds half of it. Links are none of ours, and are not followed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.data.keys import is_plain_name
from builder.errors import DataError

_GONE = ".gone-"
_PROC = Path("/proc")
_NUMBER = re.compile(r"\d+\Z")


@dataclass(frozen=True, slots=True)
class Directory:
    """`newest` is the last change of anything in it (seconds since 1970), `size` the bytes on the disk that it alone has; `leftover`: its
    removal was broken off.
    """

    path: Path
    newest: float
    size: int
    leftover: bool = False

    @property
    def name(self) -> str:
        return self.path.name


def directories(top: Path) -> Iterator[Directory]:
    """What lies in `top`. Raises DataError when it cannot be read."""
    try:
        with os.scandir(top) as found:
            entries = sorted(entry.name for entry in found if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"{top} cannot be read: {error.strerror}", "look at its rights") from error
    for name in entries:
        if is_plain_name(name):
            yield Directory(top / name, *measure(top / name), leftover=name.startswith(_GONE))


def measure(top: Path) -> tuple[float, int]:
    """The last change, and the bytes on the disk of files that nothing else links to. What goes meanwhile does not count."""
    newest, size, links = 0.0, 0, dict[tuple[int, int], tuple[int, int, int]]()
    for path in _all(top):
        try:
            seen = path.lstat()
        except OSError:
            continue
        newest = max(newest, seen.st_mtime)
        if stat.S_ISDIR(seen.st_mode) or seen.st_nlink == 1:
            size += seen.st_blocks * 512
        else:
            known, _, _ = links.get((seen.st_dev, seen.st_ino), (0, 0, 0))
            links[seen.st_dev, seen.st_ino] = known + 1, seen.st_nlink, seen.st_blocks * 512
    return newest, size + sum(blocks for found, all_of_them, blocks in links.values() if found == all_of_them)


def _all(top: Path) -> Iterator[Path]:
    yield top
    for folder, folders, files in os.walk(top, onerror=None):
        yield from (Path(folder, name) for name in (*folders, *files))


def remove(directory: Path) -> bool:
    """Takes it away; False when it was gone. Raises DataError when something of it cannot be removed: the next time goes on with that."""
    aside = directory if directory.name.startswith(_GONE) else directory.with_name(f"{_GONE}{os.urandom(8).hex()}")
    try:
        directory.rename(aside)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DataError(f"{directory} cannot be removed: {error.strerror}", "look at its rights, and its owner") from error
    try:
        _remove_all(aside)
    except OSError as error:
        what = error.filename if isinstance(error.filename, str) else str(aside)
        raise DataError(f"{what} cannot be removed: {error.strerror}", "containers write as root: remove it as root") from error
    return True


def _remove_all(aside: Path) -> None:
    try:
        shutil.rmtree(aside)
    except PermissionError:  # directories that their owner may not write to
        for folder, _, _ in os.walk(aside):
            os.chmod(folder, 0o700)  # noqa: PTH101 - it may not be a link: os.walk gives none
        shutil.rmtree(aside)


def in_use(top: Path) -> dict[str, str]:
    """Names in `top` that a living process of this machine works in, or was started with; and which. Nothing where there is no /proc."""
    prefix, used = f"{os.path.realpath(top)}/", dict[str, str]()
    for process in _processes():
        for text in _words(process):
            for found in text.split(prefix)[1:]:
                name = re.split(r"[/\0:, ]", found, maxsplit=1)[0]
                used.setdefault(name, f"process {process.name} on {socket.gethostname()} uses it")
    return used


def _processes() -> Iterator[Path]:
    try:
        yield from (path for path in _PROC.iterdir() if _NUMBER.match(path.name) and path.name != str(os.getpid()))
    except OSError:
        return


def _words(process: Path) -> Iterator[str]:
    """Its working directory, and its command line; of another one's process only what may be read."""
    with contextlib.suppress(OSError):
        yield os.readlink(process / "cwd") + "/"  # noqa: PTH115 - it need not be a path
    with contextlib.suppress(OSError):
        yield (process / "cmdline").read_bytes().decode("utf-8", "surrogateescape")
