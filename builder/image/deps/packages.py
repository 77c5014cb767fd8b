"""Reading what was installed: which file belongs to which package, made the same on every machine.

Differences between machines and between versions of the installer are taken out: console scripts are written anew, others start with the
image's interpreter, RECORD follows from that, byte code and the installer's own notes stay out.
https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from builder.errors import DepsError
from builder.image.deps.lock import normalise
from builder.image.deps.scripts import SHEBANG, entry_scripts
from builder.image.layers import LayerFile
from builder.model.tree import EXECUTABLE, FILE

UNOWNED = ""
_CHUNK = 1 << 20
_NOTES = frozenset({"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json", "RECORD"})
_INTERPRETER = re.compile(rb"#![^\n]*/(?:python|pypy)[^/\n]*\n")
_LONG_INTERPRETER = re.compile(rb"#!/bin/sh\n'''exec' [^\n]*\n' '''\n")
_INFO = re.compile(r"[^/]+\.dist-info/")
_ENV = b"#!/usr/bin/env "

Record = Mapping[str, tuple[str, str]]
"""Path below the directory -> hash (`sha256=<base64>`) and size, as RECORD has them."""


@dataclass(frozen=True, slots=True)
class _Installed:
    """A package as its RECORD lists it; `scripts` are those that are written here, with their rows in the record."""

    record: Record
    scripts: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Package:
    """A package as it goes into the image. Paths are relative to where packages lie; `size` in bytes."""

    name: str
    files: tuple[LayerFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def read(root: Path, python: str, alone: Callable[[str], Path]) -> tuple[Package, ...]:
    """The packages installed in `root`, sorted by name; files that no package lists are those of the package UNOWNED.

    Where two packages hold different files of one name, the one later in the alphabet has it: `alone` installs that package by itself, as
    nobody knows which of them was installed last here. Scripts start with `/usr/bin/env python<X.Y>`, so that they are the same for every
    base and use the environment that is active in the image.
    """
    found = dict(sorted(_installed(root, python)))
    owners = {path: name for name, package in found.items() for path in package.record}
    roots = {name: alone(name) for name in _contested(found)}
    by_name: dict[str, list[LayerFile]] = {}
    for path in sorted({*_walk(root), *(path for package in found.values() for path in package.scripts)}):
        name = owners.get(path, UNOWNED)
        script = found[name].scripts.get(path) if name in found else None
        file = _file(roots.get(name, root), path, python) if script is None else content(path, script, EXECUTABLE)
        by_name.setdefault(name, []).append(file)
    return tuple(_package(name, files, found[name].record if name in found else {}) for name, files in sorted(by_name.items()))


def _contested(found: Mapping[str, _Installed]) -> tuple[str, ...]:
    """The packages that win a file from another one that has it differently."""
    seen: dict[str, tuple[str, str]] = {}
    winners = set()
    for name, package in found.items():
        for path, entry in package.record.items():
            if seen.get(path, entry) != entry and path not in package.scripts:
                winners.add(name)
            seen[path] = entry
    return tuple(sorted(winners))


def _installed(root: Path, python: str) -> Iterator[tuple[str, _Installed]]:
    for info in root.glob("*.dist-info"):
        rows = csv.reader(io.StringIO((info / "RECORD").read_text(encoding="utf-8"), newline=""))
        scripts = entry_scripts(info, python)
        record = {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}
        name = info.name.removesuffix(".dist-info").rpartition("-")[0]
        yield normalise(name), _Installed({**record, **{path: _facts(script) for path, script in scripts.items()}}, scripts)


def _walk(root: Path) -> Iterator[str]:
    for directory, subdirectories, names in os.walk(root):
        subdirectories[:] = sorted(d for d in subdirectories if d != "__pycache__")
        inner = Path(directory).relative_to(root).as_posix()
        for name in names:
            path = name if inner == "." else f"{inner}/{name}"
            if path != ".lock" and not (_INFO.match(path) and name in _NOTES):
                yield path


def _file(root: Path, path: str, python: str) -> LayerFile:
    full = root / path
    status = full.lstat()
    if not full.is_file() or full.is_symlink() or "/.wh." in f"/{path}":
        raise DepsError(f"{path} of a package is nothing that a layer can hold", "install the package in a Dockerfile instead")
    mode = EXECUTABLE if status.st_mode & 0o100 else FILE
    if _is_script(path) and next(_chunks(full), b"").startswith(b"#!"):
        return content(path, rewritten(full.read_bytes(), python), mode)
    return LayerFile(os.fsencode(path), mode, status.st_size, partial(_chunks, full))


def content(path: str, data: bytes, mode: int = FILE) -> LayerFile:
    """A file of a layer whose bytes are at hand."""
    return LayerFile(os.fsencode(path), mode, len(data), lambda: iter((data,)))


def rewritten(script: bytes, python: str) -> bytes:
    """A script that starts with some Python starts with the image's; others stay as they are.

    Installers write the interpreter's path, or where that is long or has spaces, three lines for /bin/sh.
    """
    match = _LONG_INTERPRETER.match(script) or (None if script.startswith(_ENV) else _INTERPRETER.match(script))
    return SHEBANG + python.encode() + b"\n" + script[match.end() :] if match else script


def _is_script(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return len(parts) == 2 and parts[0] == "bin"


def _package(name: str, files: list[LayerFile], record: Record) -> Package:
    """The files in the order of a layer, with a RECORD that is true of them."""
    infos = {match[0] for path in record if (match := _INFO.match(path))}
    for info in sorted(infos)[:1]:
        rows = [_row(file, record) for file in files] + [(f"{info}RECORD", "", "")]
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(sorted(rows))
        files = [*files, content(f"{info}RECORD", text.getvalue().encode())]
    return Package(name, tuple(sorted(files, key=lambda file: file.path)))


def _row(file: LayerFile, record: Record) -> tuple[str, str, str]:
    path = os.fsdecode(file.path)
    return path, *(_facts(b"".join(file.read())) if _is_script(path) else record[path])


def _facts(data: bytes) -> tuple[str, str]:
    """Hash and size as a RECORD has them."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest}", str(len(data))


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
