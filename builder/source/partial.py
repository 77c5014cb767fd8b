"""Partial clones (`git clone --filter=blob:none`): which blobs are absent, and getting many of them in one request.

Left to itself git fetches absent blobs one by one, a connection each.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from builder import process
from builder.errors import SourceError
from builder.source.objects import git_environment

# What git itself does when it meets an absent object (promisor-remote.c), for all of them at once; and no housekeeping in between.
_CONFIG = ["-c", "fetch.negotiationAlgorithm=noop", "-c", "maintenance.auto=false", "-c", "gc.auto=0"]
_OPTIONS = ["--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--filter=blob:none", "--quiet", "--stdin"]


class PromisedBlobs:
    """The blobs that a clone may lack on purpose. Remembers what the tree that was last asked for lacks: to find out takes long."""

    def __init__(self, git_dir: Path) -> None:
        self._git_dir = git_dir
        self._last: tuple[str, frozenset[str]] = ("", frozenset())
        self._remotes: list[str] = []

    def absent(self, tree: str) -> frozenset[str]:
        """The absent objects below a tree, without fetching any; of a clone that is not partial none."""
        if not self._is_partial():
            return frozenset()
        last, absent = self._last
        if last != tree:
            absent = self._list_absent(tree)
            self._last = tree, absent
        return absent

    def fetch(self, tree: str, oids: Iterable[str]) -> int:
        """Gets those of the objects below a tree that are absent, in one request; how many they were. Raises SourceError."""
        absent = self.absent(tree)
        wanted = absent.intersection(oids)
        if wanted:
            self._fetch(sorted(wanted))
            self._last = tree, absent - wanted
        return len(wanted)

    def _is_partial(self) -> bool:
        """Whether any object may be absent on purpose: a fetch with a filter leaves `.promisor` files beside its packs."""
        return any((self._git_dir / "objects" / "pack").glob("*.promisor"))

    def _list_absent(self, tree: str) -> frozenset[str]:
        lines = self._git("rev-list", "--objects", "--no-object-names", "--missing=print", tree).text.splitlines()
        return frozenset(line[1:] for line in lines if line.startswith("?"))

    def _fetch(self, oids: list[str]) -> None:
        """From the remotes that promised them, one after the other until one has them all."""
        stdin, said = "".join(f"{oid}\n" for oid in oids).encode(), ""
        remotes = self._promisors()
        for remote in remotes:
            done = self._git(*_CONFIG, "fetch", remote, *_OPTIONS, stdin=stdin, check=False)
            if done.returncode == 0:
                return
            said += "\n" + done.stderr.decode("utf-8", "replace").strip()
        text = f"{len(oids)} objects are absent from this partial clone, and {' and '.join(remotes)} did not give them:{said}"
        raise SourceError(text, "check the network and your access to the remote")

    def _promisors(self) -> list[str]:
        if not self._remotes:
            lines = self._git("config", "--get-regexp", r"^remote\..*\.promisor$", check=False).text.splitlines()
            self._remotes = [line.removeprefix("remote.").removesuffix(".promisor true") for line in lines if line.endswith(" true")]
        if not self._remotes:
            raise SourceError(
                f"{self._git_dir} is a partial clone, but none of its remotes has promised the rest", "set remote.NAME.promisor"
            )
        return self._remotes

    def _git(self, *argv: str, stdin: bytes = b"", check: bool = True) -> process.Completed:
        return process.run(["git", "--git-dir", str(self._git_dir), *argv], stdin=stdin, env=git_environment(), check=check)
