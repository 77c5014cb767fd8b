"""Runs git-filter-repo once, in a process of its own: its module keeps state that a second run in one process would find.

    python -m repo_slim.filter_main JOB      (in the repository that is rewritten)

JOB is a file of zero-terminated fields, three for each thing that goes: blob, path, and the blob that takes its place or nothing. The
decision is by path and blob, and a change to what goes becomes a deletion: leaving the change out would let an earlier version live on.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_OPTIONS = ("--force", "--quiet", "--prune-empty", "never", "--prune-degenerate", "never", "--preserve-commit-encoding", "--no-gc")
_ORDER = "--date-order"  # so that a commit that a message names was nearly always seen before


def main(job: Path) -> None:
    """Rewrites what all refs lead to."""
    import git_filter_repo

    fields = job.read_bytes().split(b"\0")[:-1]
    chosen = {(blob, path): instead for blob, path, instead in zip(fields[0::3], fields[1::3], fields[2::3], strict=True)}

    def callback(commit: Any, _: Any) -> None:
        for number, change in enumerate(commit.file_changes):
            if change.type == b"M":
                instead = chosen.get((change.blob_id, change.filename))
                if instead is not None:
                    commit.file_changes[number] = _instead(change, instead, git_filter_repo.FileChange)

    options = git_filter_repo.FilteringOptions.parse_args([*_OPTIONS, _ORDER], error_on_empty=False)
    git_filter_repo.RepoFilter(options, commit_callback=callback).run()


def _instead(change: Any, instead: bytes, change_type: Any) -> Any:
    if instead and change.mode != b"120000":  # a link to a placeholder would lead nowhere
        return change_type(b"M", change.filename, instead, change.mode)
    return change_type(b"D", change.filename)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
