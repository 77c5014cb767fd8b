"""Git LFS: which files of a tree are pointers, and the content they point to.

Pointer files: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path

from builder.errors import BuilderError, IntegrityError, SourceError
from builder.image.exclude import Excludes
from builder.model.globs import parse as parse_glob
from builder.model.tree import SYMLINK, Commit, Entry
from builder.source.remotes import preferred_remote
from builder.source.repository import Git

PREFIX = "lfs:"
"""Before the sha256 of the content, in place of a blob's oid."""

_CHUNK = 1 << 20
_TOO_LONG = 1024  # pointers are shorter
_LINE = re.compile(r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)+)"|(?P<plain>[^\s#"][^\s]*))\s(?P<attributes>.*)')
_FILTER = re.compile(r"[-!]?filter(=|\Z)")
_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*oid sha256:([0-9a-f]{64})\nsize (\d+)\n\Z")


@dataclass(frozen=True, slots=True)
class Pointer:
    """`oid` is the sha256 of the content in hex, `size` its length in bytes."""

    oid: str
    size: int


def tracked_files(git: Git, attributes: Sequence[Entry], entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Those of the files that a tree's .gitattributes give to Git LFS. Links are never its own."""
    deeper_last = sorted(attributes, key=lambda entry: entry.path.count(b"/"))
    patterns = [pattern for entry in deeper_last for pattern in _patterns(entry.path, git.read(entry))]
    if not patterns:
        return ()
    tracked = Excludes(patterns)  # attributes are matched as ignores are (gitattributes(5))
    return tuple(entry for entry in entries if entry.mode != SYMLINK and tracked.file(entry.path))


def attribute_files(entries: Sequence[Entry]) -> list[Entry]:
    """The tree's .gitattributes files."""
    return [entry for entry in entries if entry.path == b".gitattributes" or entry.path.endswith(b"/.gitattributes")]


def pointers(git: Git, entries: Sequence[Entry]) -> dict[bytes, Pointer]:
    """path -> pointer of every file that is one. In a partial clone, `fetch_missing` first."""
    sizes = git.sizes(entries)
    small = [entry for entry in entries if sizes[entry.oid] < _TOO_LONG]
    return {entry.path: pointer for entry, _, chunks in git.stream(small) if (pointer := parse(b"".join(chunks)))}


def fetch(git: Git, commit: Commit, entries: Sequence[Entry], found: Mapping[bytes, Pointer]) -> None:
    """Sees to it that this clone has what the pointers among the files point to.

    Raises SourceError when it cannot be had, IntegrityError when what is here has another size.
    """
    absent = [entry for entry in entries if entry.path in found and not _is_here(git, entry, found[entry.path])]
    for _, group in groupby(sorted(absent, key=lambda entry: entry.home), key=lambda entry: entry.home):
        _download(git, commit, list(group))
    for entry in absent:
        if not _is_here(git, entry, found[entry.path]):
            text = f"{_name(entry)}: its Git LFS object {found[entry.path].oid[:12]} is neither here nor on the server"
            raise SourceError(text, "push it, or restore it")


def replaced(entry: Entry, fetched: Mapping[bytes, Pointer]) -> Entry:
    """The entry of the content, where the file is a pointer."""
    pointer = fetched.get(entry.path)
    return entry._replace(oid=PREFIX + pointer.oid) if pointer else entry


def stream(git: Git, entries: Sequence[Entry]) -> Iterator[tuple[Entry, int, Iterator[bytes]]]:
    """Each file's entry, size and content, read from this clone's LFS store.

    Raises IntegrityError at the end of a content that is not what the pointer names.
    """
    for entry in entries:
        path = content_path(git.home(entry), entry.oid.removeprefix(PREFIX))
        yield entry, path.stat().st_size, _chunks(entry, path)


def content_path(git: Git, oid: str) -> Path:
    """Where git-lfs keeps an object of this clone."""
    return git.git_dir / "lfs" / "objects" / oid[:2] / oid[2:4] / oid


def parse(data: bytes) -> Pointer | None:
    """What a pointer file says; None for any other content."""
    match = _POINTER.match(data) if len(data) < _TOO_LONG else None
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


def _download(git: Git, commit: Commit, entries: Sequence[Entry]) -> None:
    """Asks git-lfs for a tree of just these pointers: any number, whatever their names, and none of a partial clone's other blobs."""
    home = git.home(entries[0])
    try:
        tree = home.run("mktree", stdin="".join(f"100644 blob {oid}\t{oid}\n" for oid in {entry.oid for entry in entries}).encode())
        options = ["--include", "", "--exclude", ""]  # in place of lfs.fetchinclude and lfs.fetchexclude
        home.run("-c", "lfs.fetchrecentalways=false", "lfs", "fetch", preferred_remote(home), tree.text.strip(), *options)
    except BuilderError as error:
        text = f"{len(entries)} Git LFS objects of {commit.sha[:12]} are not in this clone, and cannot be fetched:\n{error.message}"
        hint = error.hint or "check that git-lfs is installed and the remote can be reached (`builder doctor`)"
        raise SourceError(text, hint) from error


def _is_here(git: Git, entry: Entry, pointer: Pointer) -> bool:
    try:
        size = content_path(git.home(entry), pointer.oid).stat().st_size
    except FileNotFoundError:
        return False
    if size != pointer.size:
        raise _damaged(entry, f"has {size} bytes in this clone, and {pointer.size} by its pointer")
    return True


def _chunks(entry: Entry, path: Path) -> Iterator[bytes]:
    seen = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            seen.update(chunk)
            yield chunk
    if seen.hexdigest() != entry.oid.removeprefix(PREFIX):
        raise _damaged(entry, f"hashes to {seen.hexdigest()[:12]}, and should to {path.name[:12]}")


def _damaged(entry: Entry, why: str) -> IntegrityError:
    text = f"{_name(entry)}: its Git LFS content is damaged: it {why}"
    return IntegrityError(text, "`git lfs fsck` puts it aside, then the next build fetches it again")


def _name(entry: Entry) -> str:
    return entry.path.decode("utf-8", "replace")
