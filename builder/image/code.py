"""The files of a commit that go into its image, and which of them are large."""

from __future__ import annotations

import string
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from builder.errors import SourceError
from builder.image import lfs
from builder.image.exclude import Excludes
from builder.image.layers import LayerFile
from builder.image.shards import LARGE
from builder.model.oci import canonical_json, sha256
from builder.model.tree import SYMLINK, Commit, Entry
from builder.settings import ImageSettings
from builder.source.repository import Git

_OID_DIGITS = 16
_NAME_MAX, _PATH_MAX = 255, 4095  # Linux, limits.h: the larger one counts a final zero byte
_CLASSES = string.ascii_letters
_SMALLEST_CLASS = LARGE.bit_length()


@dataclass(frozen=True, slots=True)
class CodeTree:
    """The files of a commit's image, sorted by path, and the size class (bit length of the size) of every large one by its oid.

    `pointers`: the Git LFS pointers that the image holds instead of content; in a partial clone only those whose blobs are here.
    """

    entries: tuple[Entry, ...]
    large: Mapping[str, int]
    pointers: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What an ancestor's image tells about sizes: every oid it holds is small unless it is in `large` (by its first 16 digits)."""

    oids: frozenset[str] = frozenset()
    large: Mapping[str, int] = field(default_factory=dict)


def rules(settings: ImageSettings) -> str:
    """16 hex digits of what decides which files of a tree an image holds, and which of them are large."""
    return sha256(canonical_json([list(settings.exclude), settings.lfs, settings.submodules, LARGE]))[7:23]


def select_files(git: Git, commit: Commit, settings: ImageSettings) -> tuple[Entry, ...]:
    """The commit's files less `image.exclude`. Raises SourceError on names that an image cannot hold."""
    return _included(_whole_tree(git, commit, settings), settings)


def _whole_tree(git: Git, commit: Commit, settings: ImageSettings) -> tuple[Entry, ...]:
    return git.entries(commit, submodules=settings.submodules == "include")


def _included(entries: tuple[Entry, ...], settings: ImageSettings) -> tuple[Entry, ...]:
    excludes = Excludes(settings.exclude)
    if excludes:
        entries = tuple(entry for entry in entries if not excludes.file(entry.path))
    for entry in entries:
        if b".wh." in entry.path or len(entry.path) > _NAME_MAX:
            _check_name(entry.path)
    return entries


def _check_name(path: bytes) -> None:
    parts = path.split(b"/")
    if any(part.startswith(b".wh.") for part in parts):
        what = "in an image a name that starts with .wh. deletes a file"
    elif max(map(len, parts)) > _NAME_MAX or len(path) > _PATH_MAX:
        what = f"no file system takes a name over {_NAME_MAX} bytes, or a path over {_PATH_MAX}"
    else:
        return
    name = path.decode("utf-8", "replace")
    raise SourceError(f"{name}: {what}", f'rename it, or leave it out: exclude = ["/{name}"] in [image]')


def code_tree(git: Git, commit: Commit, settings: ImageSettings, known: Known) -> CodeTree:
    """The files of the commit's image. In a partial clone this fetches the blobs that `known` says nothing about, in one request."""
    whole = _whole_tree(git, commit, settings)
    entries, attributes = _included(whole, settings), lfs.attribute_files(whole)  # excluded ones decide too
    new = [entry for entry in entries if entry.oid not in known.oids]
    git.fetch_missing(commit, [*new, *attributes])
    large = _large_files(git, entries, new, known)
    tracked = [entry for entry in lfs.tracked_files(git, attributes, entries) if entry.oid not in large]
    if settings.lfs == "fetch":
        return _with_content(git, commit, CodeTree(entries, large), tracked)
    pointers = lfs.pointers(git, git.at_hand(commit, tracked))
    return CodeTree(entries, large, tuple(entry for entry in tracked if entry.path in pointers))


def _large_files(git: Git, entries: Sequence[Entry], new: Sequence[Entry], known: Known) -> dict[str, int]:
    classes = {oid: size.bit_length() for oid, size in git.sizes(new).items() if size >= LARGE}
    for entry in entries if known.large else ():
        if entry.oid in known.oids and entry.oid[:_OID_DIGITS] in known.large:
            classes[entry.oid] = known.large[entry.oid[:_OID_DIGITS]]
    return classes


def _with_content(git: Git, commit: Commit, tree: CodeTree, tracked: Sequence[Entry]) -> CodeTree:
    """The same tree, with what Git LFS pointers point to in their places."""
    git.fetch_missing(commit, tracked)
    pointers = lfs.pointers(git, tracked)
    lfs.fetch(git, commit, tracked, pointers)
    large = {f"{lfs.PREFIX}{pointer.oid}": pointer.size.bit_length() for pointer in pointers.values() if pointer.size >= LARGE}
    return CodeTree(tuple(lfs.replaced(entry, pointers) for entry in tree.entries), {**tree.large, **large})


def layer_files(git: Git, workdir: str, entries: Sequence[Entry]) -> Generator[LayerFile, None, None]:
    """The files as a layer holds them, below the working directory; to be taken one after the other. Close it if not all are taken."""
    prefix = workdir.strip("/").encode() + b"/" if workdir.strip("/") else b""
    for is_lfs, run in groupby(entries, key=lambda entry: entry.oid.startswith(lfs.PREFIX)):
        group = list(run)
        for entry, size, chunks in lfs.stream(git, group) if is_lfs else git.stream(group):
            content = _target(entry, size, chunks) if entry.mode == SYMLINK else chunks
            yield LayerFile(prefix + entry.path, entry.mode, size, lambda content=content: content)  # type: ignore[misc]


def _target(entry: Entry, size: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Where a symlink points. Raises SourceError on what no symlink can hold."""
    target = b"".join(chunks) if size <= _PATH_MAX else b""
    if not target or b"\0" in target:
        name = entry.path.decode("utf-8", "replace")
        raise SourceError(f"{name}: a symlink to nowhere: its target is empty, holds a zero byte, or is longer than {_PATH_MAX} bytes")
    return iter((target,))


def write_large(large: Mapping[str, int]) -> str:
    """The table of large files for the manifest: 16 digits of the oid and a letter for the size class, one after the other."""
    return "".join(oid[:_OID_DIGITS] + _CLASSES[large[oid] - _SMALLEST_CLASS] for oid in sorted(large) if not oid.startswith(lfs.PREFIX))


def read_large(text: str) -> dict[str, int]:
    """The first 16 digits of an oid -> size class."""
    step = _OID_DIGITS + 1
    return {
        text[i : i + _OID_DIGITS]: _CLASSES.index(text[i + _OID_DIGITS]) + _SMALLEST_CLASS for i in range(0, len(text) // step * step, step)
    }
