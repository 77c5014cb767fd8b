"""Runs git-filter-repo once, in a process of its own: its module keeps state that a second run in one process would find.

    python -m repo_slim.filter_main JOB      (in the repository that is rewritten)

JOB is a file of zero-terminated fields: the kind of job, then for `files` triples (blob, path, what takes its place or nothing), for
`notes` pairs (old name, new name). The decision is by path and blob, and a change to what goes becomes a deletion: leaving the change out
would let an earlier version live on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_COMMON = ("--force", "--quiet", "--prune-empty", "never", "--prune-degenerate", "never", "--preserve-commit-encoding", "--no-gc")
_KINDS: dict[bytes, Sequence[str]] = {b"files": ("--date-order",), b"notes": ("--preserve-commit-hashes",)}


def main(job: Path) -> None:
    """Rewrites what all refs lead to."""
    import git_filter_repo

    kind, *fields = job.read_bytes().split(b"\0")[:-1]
    make = _files if kind == b"files" else _notes
    options = git_filter_repo.FilteringOptions.parse_args([*_COMMON, *_KINDS[kind]], error_on_empty=False)
    git_filter_repo.RepoFilter(options, commit_callback=make(fields, git_filter_repo.FileChange)).run()


def _files(fields: Sequence[bytes], change_type: Any) -> Callable[..., None]:
    chosen = {(blob, path): instead for blob, path, instead in zip(fields[0::3], fields[1::3], fields[2::3], strict=True)}

    def callback(commit: Any, _: Any) -> None:
        for number, change in enumerate(commit.file_changes):
            if change.type == b"M":
                instead = chosen.get((change.blob_id, change.filename))
                if instead is not None:
                    commit.file_changes[number] = _instead(change, instead, change_type)

    return callback


def _instead(change: Any, instead: bytes, change_type: Any) -> Any:
    if instead and change.mode != b"120000":  # a link to a placeholder would lead nowhere
        return change_type(b"M", change.filename, instead, change.mode)
    return change_type(b"D", change.filename)


def _notes(fields: Sequence[bytes], _: Any) -> Callable[..., None]:
    names = dict(zip(fields[0::2], fields[1::2], strict=True))

    def callback(commit: Any, _: Any) -> None:
        for change in commit.file_changes:
            change.filename = renamed(change.filename, names)

    return callback


def renamed(path: bytes, names: dict[bytes, bytes]) -> bytes:
    """`ab/cdef...` is the note on abcdef...: the same split of the new name. What is no note on something renamed stays."""
    new = names.get(path.replace(b"/", b""))
    if new is None:
        return path
    parts, at = [], 0
    for part in path.split(b"/"):
        parts.append(new[at : at + len(part)])
        at += len(part)
    return b"/".join(parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
