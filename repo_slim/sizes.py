"""How big blobs are, also in a clone that lacks some of them."""

from __future__ import annotations

from collections.abc import Collection

from repo_slim import process
from repo_slim.errors import SourceError
from repo_slim.git import Git


def sizes_of(git: Git, blobs: Collection[str]) -> dict[str, int]:
    """Bytes of each. What a partial clone lacks is fetched at once: git itself would ask for one after the other."""
    if not blobs:
        return {}
    if remote := partial(git):
        here = frozenset(git.text("cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objectname)").splitlines())
        if missing := sorted(set(blobs) - here):
            _bring(git, remote, missing)
    asked = "".join(f"{blob}\n" for blob in blobs).encode()
    found = {}
    for line in git.text("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked).splitlines():
        blob, _, size = line.partition(" ")
        if not size.isdigit():
            raise SourceError(f"{blob} is missing from {git.directory}", "`git fsck --full` there says what is broken")
        found[blob] = int(size)
    return found


def partial(git: Git) -> str:
    """The remote that has what a partial clone lacks; empty where the clone is whole."""
    said = git.ask("config", "--get", "extensions.partialClone")
    names = [line.split(".")[1:-1] for line in git.ask("config", "--name-only", "--get-regexp", r"^remote\..*\.promisor$").splitlines()]
    return said or (".".join(names[0]) if names else "")


def _bring(git: Git, remote: str, blobs: Collection[str]) -> None:
    """As git does it by itself, but all in one request."""
    words = ["-c", "fetch.negotiationAlgorithm=noop", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head"]
    words += ["--recurse-submodules=no", "--filter=blob:none", "--stdin", remote]
    done = process.run(["git", "-C", str(git.directory), *words], stdin="".join(f"{blob}\n" for blob in blobs).encode(), check=False)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise SourceError(f"{remote} did not give {len(blobs)} files that this partial clone lacks: {said}", "run it where it answers")
