"""One path of a commit, read without its whole tree."""

from __future__ import annotations

import posixpath

from builder.errors import SourceError
from builder.model.tree import SYMLINK, Commit
from builder.source.objects import GitObject, ObjectReader
from builder.source.trees import parse_tree


def read_path(reader: ObjectReader, commit: Commit, path: str) -> bytes | None:
    """The content of a file, or of the one that a symlink points to; None when there is no such path, or it is a directory.

    Raises SourceError on a link to anything but a file of the same commit.
    """
    mode, blob = _look(reader, commit, path)
    if blob is None or mode != SYMLINK:
        return blob.data if blob else None
    target = blob.data.decode("utf-8", "surrogateescape")
    mode, blob = _look(reader, commit, posixpath.normpath(posixpath.join(posixpath.dirname(path), target)))
    if blob is None or mode == SYMLINK:
        text = f"{path} is a link to {target!r}, which is no file of commit {commit.sha[:12]}"
        raise SourceError(text, f"let {path} be a file, or a link to one in the repository")
    return blob.data


def _look(reader: ObjectReader, commit: Commit, path: str) -> tuple[int, GitObject | None]:
    """Mode and content. Two requests: only the directory knows what is a link."""
    directory, _, name = path.rpartition("/")
    tree = reader.find(f"{commit.sha}:{directory}") if not path.startswith(("/", "../")) else None
    if tree is None or tree.kind != "tree":
        return 0, None
    wanted = name.encode("utf-8", "surrogateescape")
    for found, mode, oid in parse_tree(tree.data, tree.oid):
        if found == wanted:
            blob = reader.find(oid)
            return mode, blob if blob and blob.kind == "blob" else None
    return 0, None
