"""Partial clones (`git clone --filter=blob:none`): which blobs are absent, and getting many of them in one request.

Left to itself git fetches absent blobs one by one, a connection each.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder import process
from builder.errors import ProcessError, SourceError
from builder.source.objects import git_environment


def is_partial(git_dir: Path) -> bool:
    """Whether any object may be absent on purpose: a fetch with a filter leaves `.promisor` files beside its packs."""
    return any((git_dir / "objects" / "pack").glob("*.promisor"))


def missing_objects(git_dir: Path, tree: str) -> set[str]:
    """The absent objects below a tree, without fetching any."""
    argv = ["git", "--git-dir", str(git_dir), "rev-list", "--objects", "--no-object-names", "--missing=print", tree]
    return {line[1:] for line in process.run(argv, env=git_environment()).text.splitlines() if line.startswith("?")}


def fetch_objects(git_dir: Path, oids: Sequence[str]) -> None:
    """One request to the remote that promised them."""
    remote = _promisor_remote(git_dir)
    # What git itself does when it meets an absent object (promisor-remote.c), for all of them at once.
    options = ["--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--filter=blob:none", "--quiet", "--stdin"]
    argv = ["git", "--git-dir", str(git_dir), "-c", "fetch.negotiationAlgorithm=noop", "fetch", remote, *options]
    try:
        process.run(argv, stdin="".join(f"{oid}\n" for oid in oids).encode(), env=git_environment())
    except ProcessError as error:
        text = f"{len(oids)} objects are absent from this partial clone, and {remote} did not give them:\n{error.message}"
        raise SourceError(text, "check the network and your access to the remote") from error


def _promisor_remote(git_dir: Path) -> str:
    argv = ["git", "--git-dir", str(git_dir), "config", "--get-regexp", r"^remote\..*\.promisor$"]
    for line in process.run(argv, env=git_environment(), check=False).text.splitlines():
        key, _, value = line.partition(" ")
        if value == "true":
            return key.removeprefix("remote.").removesuffix(".promisor")
    raise SourceError(f"{git_dir} is a partial clone, but none of its remotes has promised the rest", "set remote.NAME.promisor")
