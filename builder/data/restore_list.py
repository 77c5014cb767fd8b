"""Which files of a commit are to be restored: an object of the data root, named by its own sha256, so that a request need not list them."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from builder.data.interface import Objects
from builder.errors import DataError, IntegrityError
from builder.model.oci import canonical_json, is_digest, sha256
from builder.model.removed import Lost, Removed
from builder.model.tree import EXECUTABLE, FILE, SYMLINK

SCHEMA = 1
_HEX = re.compile(r"[0-9a-f]{64}\Z")
_MODES = (FILE, EXECUTABLE, SYMLINK)


def list_key(digest: str) -> str:
    """Raises DataError on what is no digest."""
    if not is_digest(digest):
        raise DataError(f"{digest!r} names no list of files", "sha256: and 64 hexadecimal digits")
    return f"restores/{digest.removeprefix('sha256:')}.json"


def write_list(objects: Objects, lost: Lost) -> str:
    """Keeps the list, and returns its name, `sha256:<64 hex>`: the same for the same files of the same commit."""
    check_files(lost.files, lost.was)
    files = [
        {"path": file.path, "sha256": file.sha256, "size": file.size, "mode": f"{file.mode:o}", "lfs": file.lfs, "pointer": file.pointer}
        for file in lost.files
    ]
    data = canonical_json({"schema": SCHEMA, "commit": lost.commit, "was": lost.was, "files": files})
    digest = sha256(data)
    if not objects.put(list_key(digest), data, new=True) and objects.get(list_key(digest)) != data:
        objects.put(list_key(digest), data)  # what was there was damaged
    return digest


def read_list(objects: Objects, digest: str) -> Lost:
    """Raises DataError when it is missing, IntegrityError when it is damaged, or names what must not be written."""
    data = objects.get(list_key(digest))
    if data is None:
        raise DataError(f"there is no {objects.url(list_key(digest))}: nothing says which files to restore", "start the run anew")
    name = objects.url(list_key(digest))
    if sha256(data) != digest:
        raise IntegrityError(f"{name} does not hash to its name", "it is damaged: start the run anew, which writes it again")
    try:
        raw = json.loads(data)
        if raw["schema"] != SCHEMA:
            raise ValueError(f"schema {raw['schema']!r}, and this version knows {SCHEMA}")
        lost = Lost(str(raw["commit"]), str(raw["was"]), tuple(map(_file, raw["files"])))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{name} is no list of files: {error}", "a newer builder wrote it, or something else did") from error
    check_files(lost.files, name)
    return lost


def _plain(file: Removed) -> dict[str, Any]:
    return {**asdict(file), "mode": f"{file.mode:o}"}


def _file(raw: Mapping[str, Any]) -> Removed:
    return Removed(**{**raw, "mode": int(raw["mode"], 8)})


def check_files(files: Sequence[Removed], where: str) -> None:
    """Raises IntegrityError unless all can be files of one tree: nothing leaves it, comes twice, or lies below what is no directory."""
    names = {file.path for file in files}
    wrong = [f"{file.path!r}, {problem}" for file in files if (problem := _wrong(file))]
    wrong = wrong or [f"{path!r}, which lies below a file" for path, folder in _folders(names) if folder in names]
    wrong = wrong or (["a file twice"] if len(names) != len(files) else [])
    if wrong:
        raise IntegrityError(f"{where} names {wrong[0]}", "it is damaged, or somebody changed it: nothing was written")


def _wrong(file: Removed) -> str:
    if not isinstance(file.path, str) or "\0" in file.path or any(part in ("", ".", "..") for part in file.path.split("/")):
        return "which is no path inside of the repository"
    if any(part.lower() == ".git" for part in file.path.split("/")):
        return "which is git's own"
    if type(file.size) is not int or file.size < 0 or not isinstance(file.sha256, str) or not _HEX.match(file.sha256):
        return "without size and sha256"
    return "" if file.mode in _MODES else f"with mode {file.mode:o}"


def _folders(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    for path in names:
        parts = path.split("/")[:-1]
        yield from ((path, folder) for folder in itertools.accumulate(parts, "{}/{}".format))
