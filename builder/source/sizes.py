"""How large blobs are, whichever way is cheaper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder import process
from builder.errors import SourceError
from builder.source.objects import ObjectReader, git_environment

FEW = 32
"""Up to this many, reading them is cheaper than another process."""


def read_sizes(reader: ObjectReader, oids: Sequence[str]) -> dict[str, int]:
    return {blob.oid: sum(len(chunk) for chunk in blob.chunks) for blob in reader.blobs(oids)}


def ask_sizes(git_dir: Path, oids: Sequence[str]) -> dict[str, int]:
    """Without reading them. Raises SourceError naming the first that is missing."""
    argv = ["git", "--git-dir", str(git_dir), "cat-file", "--batch-check=%(objectname) %(objectsize)"]
    lines = process.run(argv, stdin="".join(f"{oid}\n" for oid in oids).encode(), env=git_environment()).text.splitlines()
    answers = [line.split(" ", 1) for line in lines]
    for oid, size in answers:
        if not size.isdigit():
            raise SourceError(f"object {oid} is missing from {git_dir}", "fetch it (`git fetch`), or run `git fsck`")
    return {oid: int(size) for oid, size in answers}
