"""Stage nine: the new history goes to a new remote, ref by ref, and is cloned back to see that it is there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from repo_slim import process
from repo_slim.errors import MovedError, PublishError
from repo_slim.files import remove
from repo_slim.git import NOTHING, Git
from repo_slim.mirror import Listing, list_remote

_SERVERS = ("refs/pull/", "refs/merge-requests/", "refs/pipelines/", "refs/environments/", "refs/keep-around/", "refs/changes/")
_LOCAL = ("refs/remotes/", "refs/stash", "refs/builder/wip/", "refs/worktree/", "refs/bisect/", "refs/original/", "refs/prefetch/")
_AT_ONCE = 500


def published_refs(refs: Mapping[str, str]) -> dict[str, str]:
    """What is pushed: all but what belongs to a server (`refs/pull/`) or to one person's clone (`refs/remotes/`, the stash)."""
    return {name: oid for name, oid in refs.items() if not name.startswith((*_SERVERS, *_LOCAL))}


def publish(slim: Git, url: str, original: Listing, lfs: Sequence[str], trial: Path) -> dict[str, Any]:
    """Pushes to `url`, an empty remote or one that still is what the source was, and clones it back into `trial`, which is new.

    Raises PublishError when the remote has anything else, and leaves it as it was. Run again after a kill it goes on.
    """
    refs = published_refs(slim.refs())
    there = _there(url, refs, original)
    warnings = _push_lfs(slim, url, lfs)
    _push(slim, url, refs, there, slim.head())
    if Path(url).is_dir():  # of a server's one HEAD is set in its settings
        Git(Path(url)).set_head(slim.head())
    _clone_back(url, refs, trial)
    if left := sorted(name for name in there if name not in refs):
        warnings.append(f"{len(left)} refs of the server keep the old history ({left[0]}, ...): a new repository has none")
    skipped = sorted(slim.refs().keys() - refs.keys())
    return {"url": url, "refs": len(refs), "skipped": skipped, "warnings": warnings, "head": slim.head()}


def _there(url: str, refs: Mapping[str, str], original: Listing) -> dict[str, str]:
    """The remote's refs, when it is empty, or the unmoved source, or either of them half-way to what is to be."""
    there = list_remote(url).refs
    for name, oid in there.items():
        if oid not in (refs.get(name), original.refs.get(name)):
            text = f"{url} is not empty, and {name} there is neither the source's nor ours"
            raise PublishError(text, "publish to a new, empty repository")
    if any(oid != refs.get(name) for name, oid in there.items()) and set(published_refs(original.refs)) - set(there):
        raise PublishError(f"{url} has refs of the source, but not all of them: it is another repository", "publish to a new, empty one")
    return there


def _push(slim: Git, url: str, refs: Mapping[str, str], there: Mapping[str, str], head: str) -> None:
    """HEAD's branch first: a server takes the first one as its default. Each ref only as long as it is what was seen."""
    wanted = sorted((name for name in refs if refs[name] != there.get(name)), key=lambda name: (name != head, name))
    for part in [wanted[:1], *_parts(wanted[1:])] if wanted else ():
        leases = [f"--force-with-lease={name}:{there.get(name, NOTHING if name in there else '')}" for name in part]
        done = process.run(
            [
                "git",
                "-C",
                str(slim.directory),
                "push",
                "--porcelain",
                "--no-verify",
                *leases,
                "--",
                url,
                *(f"{refs[name]}:{name}" for name in part),
            ],
            check=False,
        )
        if done.returncode:
            said = os.fsdecode(done.stdout + done.stderr).strip()[-1500:]
            raise PublishError(f"{url} did not take what was pushed:\n{said}", "correct that, then run it again: it goes on where it was")


def _parts(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[at : at + _AT_ONCE] for at in range(0, len(names), _AT_ONCE))


def _push_lfs(slim: Git, url: str, oids: Sequence[str]) -> list[str]:
    """The objects that tips point to. Without git-lfs they cannot go, and people must know."""
    if not oids:
        return []
    if process.run(["git", "lfs", "version"], check=False).returncode:
        return [
            f"{len(oids)} LFS objects were not pushed, because git-lfs is not installed: `git lfs push --all {url}` in {slim.directory}"
        ]
    place = Path(url).resolve().as_uri() if Path(url).is_dir() else url
    for part in _parts(oids):
        done = process.run(["git", "-C", str(slim.directory), "lfs", "push", "--object-id", place, *part], check=False)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()[-500:]
            raise PublishError(
                f"{url} did not take LFS objects: {said}", "look at its LFS server, then run it again: it goes on where it was"
            )
    return []


def _clone_back(url: str, refs: Mapping[str, str], trial: Path) -> None:
    process.run(["git", "clone", "--quiet", "--mirror", "--template=", "--", _as_url(url), str(trial)])
    found = Git(trial).refs()
    wrong = sorted(name for name in refs if found.get(name) != refs[name])
    if wrong:
        raise MovedError(
            f"{wrong[0]} of {url} is {found.get(wrong[0], 'not there')} after the push", "somebody else pushes there: look who"
        )
    Git(trial).run("fsck", "--full", "--no-dangling", "--no-progress")
    remove(trial)


def _as_url(url: str) -> str:
    """A directory through git's protocol: a copy of its files would not say whether they can be served."""
    return Path(url).resolve().as_uri() if Path(url).is_dir() else url
