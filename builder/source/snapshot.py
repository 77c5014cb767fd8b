"""The working tree as it is, as a commit: without touching the tree, the index or any branch.

The commit is a pure function of HEAD and the files (fixed identity, HEAD's date), so the same tree has the same sha twice.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from builder import process
from builder.errors import ProcessError, SourceError, UsageError
from builder.model.path_names import shell_word
from builder.model.tree import Commit
from builder.source.objects import git_environment
from builder.source.repository import Git
from builder.source.submodules import without_repository

BIG = 10_000_000
"""Untracked files over this size in bytes do not slip into an image."""

_SECRETS = re.compile(
    r"(\.env(\..+)?|\.netrc|_netrc|\.pypirc|\.npmrc|\.pgpass|\.git-credentials|id_(rsa|dsa|ecdsa|ed25519)|.*\.(pem|key|p12|pfx|jks|keystore)"
    r"|credentials(\..+)?|.*(service.?account|client_secret).*\.json|kubeconfig|.*\.kubeconfig|\.dockerconfigjson|secrets?\.(json|ya?ml|toml|env))\Z",
    re.IGNORECASE | re.DOTALL,
)
_HARMLESS = re.compile(r".*\.(example|sample|template|dist|pub)\Z", re.IGNORECASE)
_IDENTITY = {
    "GIT_AUTHOR_NAME": "builder",
    "GIT_AUTHOR_EMAIL": "builder@localhost",
    "GIT_COMMITTER_NAME": "builder",
    "GIT_COMMITTER_EMAIL": "builder@localhost",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`commit` is HEAD itself when nothing differs. `branch` is empty on a detached HEAD; `changed` and `new` count files."""

    commit: Commit
    head: Commit
    branch: str
    changed: int
    new: int

    def describe(self) -> str:
        """`main + 2 changed, 1 new file`"""
        parts = [f"{self.changed} changed" if self.changed else "", f"{self.new} new" if self.new else ""]
        counts = ", ".join(part for part in parts if part)
        files = f" file{'s' if (self.new or self.changed) > 1 else ''}"
        return (self.branch or self.head.sha[:12]) + (f" + {counts}{files}" if counts else "")


def take_snapshot(git: Git, include: Sequence[str] = (), *, keep: bool = True) -> Snapshot:
    """Writes the snapshot commit, and with `keep` a ref to it under `refs/builder/wip/`; ignored files stay out.

    Raises UsageError naming untracked files that are over 10 MB or look like secrets, unless a glob of `include` matches them,
    and globs that match no file,
    and SourceError in a bare repository, before the first commit, in the middle of a merge, or with changes inside a submodule.
    """
    if git.top is None:
        raise SourceError(f"{git.git_dir} is bare: it has no working tree", "name a commit with --commit")
    head = git.resolve("HEAD")
    changed, new = _changes(git)
    _refuse_nothing(git, git.top, new, include)
    _refuse_suspects(git.top, new, include)
    branch = git.run("symbolic-ref", "--quiet", "--short", "HEAD", check=False).text.strip()
    if not changed and not new:
        return Snapshot(head, head, branch, 0, 0)
    tree = _write_tree(git)
    commit = head if tree == head.tree else git.resolve(_commit_tree(git, tree, head))
    if commit != head and keep:
        git.run("update-ref", f"refs/builder/wip/{commit.sha[:12]}", commit.sha)
    return Snapshot(commit, head, branch, len(changed), len(new))


def _changes(git: Git) -> tuple[list[str], list[str]]:
    """Tracked files that differ from HEAD, and untracked ones (git help status, porcelain v2)."""
    changed, new = [], []
    fields = iter(_status(git).split("\0"))
    for line in fields:
        kind, _, rest = line.partition(" ")
        if kind == "?":
            new.append(rest)
        elif kind == "u":
            raise SourceError(f"{rest.split(' ', 9)[-1]} has conflicts", "resolve them, then `git add` it")
        elif kind in ("1", "2"):
            path = rest.split(" ", 7 if kind == "1" else 8)[-1]
            _refuse_dirty_submodule(rest.split(" ")[1], path)
            changed.append(path)
            if kind == "2":
                next(fields)  # the path it was renamed from
    return changed, new


def _status(git: Git) -> str:
    try:
        return git.run("status", "--porcelain=v2", "-z", "--untracked-files=all", "--ignore-submodules=none").text
    except ProcessError as error:
        for path in without_repository(git):
            name = shell_word(path)
            hint = f"save what you changed in it, then `git submodule deinit --force {name}` and `git submodule update --init {name}`"
            raise SourceError(f"submodule {path}: its git directory is gone", hint) from error
        raise


def _refuse_dirty_submodule(state: str, path: str) -> None:
    if state.startswith("S") and state[2:] != "..":
        raise SourceError(f"submodule {path} has changes of its own, which no commit holds", f"commit them inside {path}, or undo them")


def _refuse_nothing(git: Git, top: Path, new: Sequence[str], include: Sequence[str]) -> None:
    """A glob that names no file is mistyped. One of a file that has been committed since may stay."""
    unknown = [glob for glob in include if not (top / glob).exists() and not any(fnmatch(path, glob) for path in new)]
    tracked = git.run("ls-files", "-z").text.split("\0") if unknown else []
    for glob in unknown:
        if not any(fnmatch(path, glob) for path in tracked if path):
            raise UsageError(f"--include {glob}: there is no such file in {top}", "paths and globs start at the top of the repository")


def _refuse_suspects(top: Path, new: Sequence[str], include: Sequence[str]) -> None:
    suspects = [f"  {path}  ({why})" for path, why in _suspects(top, new) if not any(fnmatch(path, glob) for glob in include)]
    if suspects:
        listed = "\n".join(suspects[:20] + [f"  and {len(suspects) - 20} more"] * (len(suspects) > 20))
        hint = "add them to .gitignore, or let them in with --include GLOB"
        raise UsageError(f"untracked files that should hardly be in an image:\n{listed}", hint)


def _suspects(top: Path, new: Sequence[str]) -> Iterator[tuple[str, str]]:
    for path in new:
        name = path.rpartition("/")[2]
        if _SECRETS.match(name) and not _HARMLESS.match(name):
            yield path, "looks like a secret"
        elif (size := (top / path).lstat().st_size) > BIG:
            yield path, f"{size / 1e6:.0f} MB"


def _write_tree(git: Git) -> str:
    """Adds everything to a copy of the index, so the real one stays as it is."""
    with tempfile.TemporaryDirectory(prefix="builder-index-") as aside:
        index, real = Path(aside) / "index", _index_path(git)
        if real.exists():
            shutil.copy2(real, index)  # with its time: git looks again at files that are as new as the index
        environment = {"GIT_INDEX_FILE": str(index)}
        _git(git, ["add", "--all", "--", "."], environment)
        return _git(git, ["write-tree"], environment)


def _commit_tree(git: Git, tree: str, head: Commit) -> str:
    dates = {f"GIT_{who}_DATE": f"{head.date} +0000" for who in ("AUTHOR", "COMMITTER")}
    argv = [
        "-c",
        "commit.gpgSign=false",
        "-c",
        "i18n.commitEncoding=UTF-8",
        "commit-tree",
        tree,
        "-p",
        head.sha,
        "-m",
        _subject(head.sha),
    ]
    return _git(git, argv, {**_IDENTITY, **dates})


def _subject(head: str) -> str:
    return f"Working tree on {head[:12]}"


def taken_on(commit: Commit) -> str:
    """The sha of the commit that a snapshot was taken on; empty for a commit that is no snapshot."""
    (head, *more) = commit.parents or ("",)
    return head if head and not more and commit.subject == _subject(head) else ""


def _index_path(git: Git) -> Path:
    return Path(git.run("rev-parse", "--path-format=absolute", "--git-path", "index").text.rstrip("\n"))


def _git(git: Git, argv: Sequence[str], environment: Mapping[str, str]) -> str:
    return process.run(["git", *argv], cwd=git.top, env={**git_environment(), **environment}).text.strip()
