"""Notes, moved to the new names of what they are on, in every commit of their history.

git-filter-repo passes them on under the old names. Here `git fast-export` runs into `git fast-import`, and only paths change on the way.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from repo_slim import process
from repo_slim.errors import ProcessError
from repo_slim.git import Git

_EXPORT = ("fast-export", "--no-data", "--show-original-ids", "--reencode=no", "--use-done-feature")
_IMPORT = ("fast-import", "--quiet", "--force", "--done", "--date-format=raw-permissive")


def rename(git: Git, refs: Iterable[str], names: Mapping[str, str]) -> dict[str, str]:
    """Rewrites the refs in place; returns old commit -> new one. `names`: old -> new, of everything that may have a note."""
    known = {old.encode(): new.encode() for old, new in names.items()}
    marks = git.directory / "slim-marks"
    argv = ["git", "-C", str(git.directory), *_IMPORT, f"--export-marks={marks}"]
    with git.piped(*_EXPORT, *refs) as exported, process.start(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        assert child.stdin and child.stderr
        old = _passed_on(exported, child.stdin, known)
        child.stdin.close()
        said = child.stderr.read()
    if child.returncode:
        raise ProcessError(tuple(argv), child.returncode, said.decode("utf-8", "replace"))
    return _paired(old, marks)


def _passed_on(source: IO[bytes], target: IO[bytes], names: Mapping[bytes, bytes]) -> dict[bytes, str]:
    """Copies the stream with other paths; returns mark -> old commit."""
    old, mark = {}, b""
    for line in source:
        if line.startswith(b"original-oid "):
            old[mark] = line[13:-1].decode()
            continue
        if line.startswith(b"mark "):
            mark = line[5:-1]
        target.write(_changed(line, names))
        if line.startswith(b"data "):
            target.write(source.read(int(line[5:])))
    return old


def _changed(line: bytes, names: Mapping[bytes, bytes]) -> bytes:
    """`M 100644 <blob> <path>` and `D <path>`; the message is not among the lines."""
    parts = line[:-1].split(b" ", 3 if line.startswith(b"M ") else 1)
    if parts[0] not in (b"M", b"D"):
        return line
    return b" ".join([*parts[:-1], renamed(parts[-1], names)]) + b"\n"


def renamed(path: bytes, names: Mapping[bytes, bytes]) -> bytes:
    """`ab/cdef...` is the note on abcdef...: the same split of the new name. What is no note on something renamed stays."""
    new = names.get(path.replace(b"/", b""))
    if new is None:
        return path
    parts, at = [], 0
    for part in path.split(b"/"):
        parts.append(new[at : at + len(part)])
        at += len(part)
    return b"/".join(parts)


def _paired(old: Mapping[bytes, str], marks: Path) -> dict[str, str]:
    new = dict(line.split(b" ") for line in marks.read_bytes().splitlines())
    marks.unlink()
    return {name: new[mark].decode() for mark, name in old.items()}
