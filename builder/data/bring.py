"""Puts files of the archive where they were: each verified, written aside and then given its name. Nothing else is overwritten."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from builder.data.interface import Objects
from builder.data.restore_list import check_files
from builder.data.threads import in_threads
from builder.errors import DataError, IntegrityError
from builder.model.progress import SILENT, Progress
from builder.model.removed import Removed, size_of
from builder.model.tree import EXECUTABLE, SYMLINK
from builder.model.units import size as size_in_words

_AT_ONCE = 8
_SHOWN = 5
_STALE = 86_400.0  # seconds
_ABSENT, _THERE, _STANDS_IN, _DIFFERS = "absent", "there", "stands in", "differs"
_CHUNK = 1 << 20
_STAND_IN = re.compile(
    rb"\Aremoved from the history by slim-repo; [^\n]*\nsha256 ([0-9a-f]{64})\n|^oid sha256:([0-9a-f]{64})$", re.MULTILINE
)
"""What may stand where the file was: slim-repo's placeholder, or the pointer of Git LFS."""
_STAND_IN_LIMIT = 1024  # bytes


def object_key(digest: str) -> str:
    """Where the content with this sha256 (64 hex) lies below the archive's root."""
    return f"archive/blobs/{digest[:2]}/{digest}"


@dataclass(frozen=True, slots=True)
class Brought:
    """The files that were written, and those that were there already."""

    written: tuple[Removed, ...]
    there: tuple[Removed, ...]


def bring(
    objects: Objects, files: Sequence[Removed], top: Path, aside: Path, *, force: bool = False, progress: Progress = SILENT
) -> Brought:
    """Writes the files below `top`; whatever is there with the same content stays. Broken off and called again it goes on.

    `aside` is a directory on the same file system, for what is on its way. Everything is looked at before anything is written: raises
    DataError when a file is there with another content (`force` replaces it), when a directory stands in its place, or a file or a link
    where a directory must be; IntegrityError when the archive's object is damaged.
    """
    check_files(files, "the record of removed files")
    states = dict(zip(files, in_threads(lambda file: _state(top, file), files, _AT_ONCE), strict=True))
    differing = [file for file, state in states.items() if state == _DIFFERS]
    if differing and not force:
        raise _refused(top, differing)
    wanted = [file for file, state in states.items() if state != _THERE]
    there = tuple(file for file, state in states.items() if state == _THERE)
    if wanted:
        _check_space(top, wanted)
        with _translated(top), _own_folder(aside) as folder, progress.task("restoring", size_of(wanted), "bytes") as advance:

            def one(file: Removed) -> None:
                _place(top, file, _fetched(objects, file, folder), new=states[file] == _ABSENT)
                advance(file.size)

            in_threads(one, [file for file in wanted if file.mode != SYMLINK], _AT_ONCE)
            for file in wanted:  # links last: nothing more is written through them
                if file.mode == SYMLINK:
                    one(file)
    return Brought(tuple(wanted), there)


def _state(top: Path, file: Removed) -> str:
    _check_folders(top, file)
    path = top / file.path
    try:
        seen = path.lstat()
    except FileNotFoundError:
        return _ABSENT
    if stat.S_ISDIR(seen.st_mode):
        raise DataError(f"{path} is a directory, and {file.shown} was a file", "move it away")
    with _translated(path):
        if stat.S_ISLNK(seen.st_mode):
            text = os.fsencode(os.readlink(path))  # noqa: PTH115 - Path would change its text
            return _THERE if file.mode == SYMLINK and hashlib.sha256(text).hexdigest() == file.sha256 else _DIFFERS
        if not stat.S_ISREG(seen.st_mode) or file.mode == SYMLINK:
            return _DIFFERS
        if seen.st_size == file.size and _hash(path) == file.sha256:
            return _THERE
        return (
            _STANDS_IN
            if seen.st_size < _STAND_IN_LIMIT and _stands_for(path.read_bytes()) in (file.sha256, file.pointer or file.sha256)
            else _DIFFERS
        )


def _check_folders(top: Path, file: Removed) -> None:
    """Raises DataError where something else than a directory stands above the file: a link may lead anywhere."""
    folder = top
    for part in file.path.split("/")[:-1]:
        folder /= part
        if folder.is_symlink():
            raise DataError(f"{folder} is a symbolic link: {file.shown} would be written through it", "move the link away")
        if not folder.exists():
            return
        if not folder.is_dir():
            raise DataError(f"{folder} is a file, and {file.shown} needs a directory there", "move it away")


def _stands_for(data: bytes) -> str:
    match = _STAND_IN.search(data)
    return (match[1] or match[2]).decode() if match else ""


def _refused(top: Path, differing: Sequence[Removed]) -> DataError:
    names = ", ".join(file.shown for file in differing[:_SHOWN])
    more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    text = f"{names}{more} in {top}: there is another content than what was removed; nothing was written"
    return DataError(text, "--force replaces what is there; --to DIR writes elsewhere; naming paths leaves out others")


def _check_space(top: Path, wanted: Sequence[Removed]) -> None:
    there = next(folder for folder in (top, *top.parents) if folder.exists())
    free, needed = shutil.disk_usage(there).free, size_of(wanted)
    if needed > free:
        text = f"{size_in_words(needed)} are to be written to {top}, and {size_in_words(free)} are free there"
        raise DataError(text, "make room, or name paths")


def _fetched(objects: Objects, file: Removed, folder: Path) -> Path:
    key, path = object_key(file.sha256), folder / hashlib.sha256(os.fsencode(file.path)).hexdigest()
    try:
        there = objects.fetch_file(key, path, file.sha256)
    except IntegrityError as error:
        text = f"{file.shown} cannot be restored: {error.message}"
        raise IntegrityError(
            text, "the archive's object is damaged: put a good copy there, such as from the bundle of the original"
        ) from error
    if not there:
        raise DataError(f"{file.shown} cannot be restored: there is no {objects.url(key)}", "does [data] archive name the right one?")
    return path


def _place(top: Path, file: Removed, source: Path, *, new: bool) -> None:
    target = top / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.mode == SYMLINK:
        _make_link(source, file)
    elif file.mode == EXECUTABLE:
        mode = source.stat().st_mode
        source.chmod(mode | (mode & 0o444) >> 2)  # for those who may read it
    if not new:
        source.replace(target)
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError as error:
        if _state(top, file) != _THERE:
            raise DataError(f"{target} was written by somebody else meanwhile", "look at it; --force replaces it") from error
    except OSError:  # a file system without links
        source.replace(target)


def _make_link(source: Path, file: Removed) -> None:
    text = source.read_bytes()
    source.unlink()
    try:
        os.symlink(text, os.fsencode(source))  # noqa: PTH211 - its text is bytes
    except ValueError as error:
        raise IntegrityError(f"{file.shown} was a symbolic link, and its content is none", "the record is damaged") from error


def _hash(path: Path) -> str:
    seen = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            seen.update(chunk)
    return seen.hexdigest()


@contextmanager
def _own_folder(aside: Path) -> Iterator[Path]:
    """One for this process alone, and none of those that killed ones left a day ago."""
    aside.mkdir(parents=True, exist_ok=True)
    for left in aside.iterdir():
        with suppress(OSError):
            if left.stat().st_mtime < time.time() - _STALE:
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=aside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            aside.rmdir()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = error.filename if isinstance(error.filename, str) else path
        raise DataError(f"{what}: {error.strerror or error}", "run it again when that is put right: it goes on") from error
