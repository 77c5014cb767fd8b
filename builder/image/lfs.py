"""Git LFS: which files of a tree are pointers, and the content they point to.

Pointer files: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.errors import BuilderError, SourceError
from builder.image.exclude import Excludes
from builder.model.globs import parse as parse_glob
from builder.model.tree import Commit, Entry
from builder.source.repository import Git

PREFIX = "lfs:"
"""Before the sha256 of the content, in place of a blob's oid."""

_CHUNK = 1 << 20
_LINE = re.compile(r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)+)"|(?P<plain>[^\s#"][^\s]*))\s(?P<attributes>.*)')
_FILTER = re.compile(r"[-!]?filter(=|\Z)")
_SPECIAL = re.compile(rb"[,*?\[\]\\!]|^\s|\s$")
_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*oid sha256:([0-9a-f]{64})\nsize (\d+)\n\Z")


@dataclass(frozen=True, slots=True)
class Pointer:
    """`oid` is the sha256 of the content in hex, `size` its length in bytes."""

    oid: str
    size: int


def tracked_files(git: Git, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The files that the tree's own .gitattributes give to Git LFS."""
    deeper_last = sorted(attribute_files(entries), key=lambda entry: entry.path.count(b"/"))
    patterns = [pattern for entry in deeper_last for pattern in _patterns(entry.path, git.read(entry))]
    if not patterns:
        return ()
    tracked = Excludes(patterns)  # attributes are matched as ignores are (gitattributes(5))
    return tuple(entry for entry in entries if tracked.file(entry.path))


def attribute_files(entries: Sequence[Entry]) -> list[Entry]:
    """The tree's .gitattributes files."""
    return [entry for entry in entries if entry.path == b".gitattributes" or entry.path.endswith(b"/.gitattributes")]


def fetch(git: Git, commit: Commit, tracked: Sequence[Entry]) -> dict[bytes, Pointer]:
    """path -> pointer of every tracked file that is one, their content now in this clone. Raises SourceError when it cannot be had."""
    git.fetch_missing(commit, tracked)
    pointers = {entry.path: pointer for entry in tracked if (pointer := parse(git.read(entry)))}
    missing = {path: pointer for path, pointer in pointers.items() if not content_path(git, pointer.oid).is_file()}
    if missing:
        _download(git, commit, sorted(missing))
    for path, pointer in missing.items():
        if not content_path(git, pointer.oid).is_file():
            name = path.decode("utf-8", "replace")
            raise SourceError(f"{name}: its Git LFS object {pointer.oid[:12]} is neither here nor on the server", "push it, or restore it")
    return pointers


def replaced(entry: Entry, fetched: Mapping[bytes, Pointer]) -> Entry:
    """The entry of the content, where the file is a pointer."""
    pointer = fetched.get(entry.path)
    return entry._replace(oid=PREFIX + pointer.oid) if pointer else entry


def stream(git: Git, entries: Sequence[Entry]) -> Iterator[tuple[Entry, int, Iterator[bytes]]]:
    """Each file's entry, size and content, read from this clone's LFS store."""
    for entry in entries:
        path = content_path(git, entry.oid.removeprefix(PREFIX))
        yield entry, path.stat().st_size, _chunks(path)


def content_path(git: Git, oid: str) -> Path:
    """Where git-lfs keeps an object of this clone."""
    return git.git_dir / "lfs" / "objects" / oid[:2] / oid[2:4] / oid


def parse(data: bytes) -> Pointer | None:
    """What a pointer file says; None for any other content."""
    match = _POINTER.match(data) if len(data) < 1024 else None
    return Pointer(match[1].decode(), int(match[2])) if match else None


def _patterns(path: bytes, text: bytes) -> Iterator[str]:
    """The lines that give files to Git LFS, and (with a `!`) those that take them away again."""
    directory = path[: path.rfind(b"/") + 1].decode("utf-8", "surrogateescape")
    for line in text.decode("utf-8", "surrogateescape").split("\n"):
        match = _LINE.match(line)
        filters = [word for word in match["attributes"].split() if _FILTER.match(word)] if match else []
        if match is None or not filters:
            continue
        pattern = re.sub(r"\\(.)", r"\1", match["quoted"]) if match["quoted"] else match["plain"]
        pattern = pattern.replace("[[:space:]]", "[ \t]")  # what `git lfs track` writes for a space
        if directory:
            pattern = f"/{directory}{pattern.lstrip('/')}" if "/" in pattern else f"/{directory}**/{pattern}"
        if _is_pattern(pattern):
            yield pattern if filters[-1] == "filter=lfs" else f"!{pattern}"


def _is_pattern(pattern: str) -> bool:
    """Not one of the spellings that git reads in surprising ways, of which there are few: such a line is as if it was not there."""
    try:
        parse_glob(pattern)
    except ValueError:
        return False
    return not pattern.startswith("!")


def _download(git: Git, commit: Commit, paths: Sequence[bytes]) -> None:
    names = ",".join(path.decode("utf-8", "surrogateescape") for path in paths)
    if any(_SPECIAL.search(path) for path in paths):
        names = ""  # git-lfs takes patterns, with commas between them: then everything of the commit
    remote = (git.run("remote").text.split() or ["origin"])[0]
    try:
        git.run("lfs", "fetch", remote, commit.sha, "--include", names, "--exclude", "")
    except BuilderError as error:
        text = f"{len(paths)} Git LFS objects of {commit.sha[:12]} are not in this clone, and {remote} did not give them:\n{error.message}"
        raise SourceError(text, "check that git-lfs is installed and the remote can be reached (`builder doctor`)") from error


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
