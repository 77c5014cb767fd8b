"""Keeps a repository small once it is: finds big files in what is to be committed or pushed, and commits of before the slimming.

Big files are looked for in the index, and in commits that neither the remote's default branch nor the map's new side has. Commits of before
are looked for in all that the tip leads to: one merge of an old branch would bring all of the old history back.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from repo_slim import commit_map, process
from repo_slim.commit_map import CommitMap
from repo_slim.errors import AskedError
from repo_slim.git import NOTHING, Git
from repo_slim.history import SUBMODULE, files_of
from repo_slim.rules import Rules
from repo_slim.sizes import sizes_of

_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_MERGING = "GITHEAD_"
_DEFAULTS = ("refs/remotes/origin/HEAD", "refs/remotes/origin/main", "refs/remotes/origin/master")


@dataclass(frozen=True, slots=True)
class Big:
    """A file over the limit; `commit` is empty where it is only staged. `cut`: the clone ends there, so it may be older than it looks."""

    path: str
    size: int
    commit: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Old:
    """A commit of before, its new name, and `through`: the commit that has it as a parent, or empty where it is the tip itself.

    `more`: how many others of before come with it.
    """

    commit: str
    new: str
    through: str
    more: int


@dataclass(frozen=True, slots=True)
class Findings:
    """`commits`: how many were looked at for big files. `mapped`: there is a map. `cut`: commits whose parents a shallow clone lacks."""

    big: tuple[Big, ...]
    old: tuple[Old, ...]
    commits: int
    mapped: bool
    cut: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not self.big and not self.old


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look at. `less`: commits with whose histories no big file comes in. `index` is a file, or empty: it is not looked at."""

    tips: tuple[str, ...]
    less: tuple[str, ...]
    index: str


def check(directory: Path, most: int, keep: Sequence[str] = (), revisions: str = "", hook: Mapping[str, str] = os.environ) -> Findings:
    """Files over `most` bytes, unless a glob of `keep` matches them, and commits of before.

    `revisions` is `REV` or `BASE..REV`. Without it, what the hook that runs us says (`hook` is its environment), else the index and HEAD.
    """
    done = process.run(["git", "-C", str(directory), "rev-parse", "--absolute-git-dir"], check=False)
    if done.returncode:
        raise AskedError(f"{directory} is no git repository", "run it in a clone")
    git = Git(directory)
    return _Check(git, most, Rules(keep=tuple(keep)), commit_map.of(git)).run(_wanted(git, revisions, hook))


def _wanted(git: Git, revisions: str, hook: Mapping[str, str]) -> Wanted:
    range_of_hook = ".." if hook.get("PRE_COMMIT_FROM_REF") and hook.get("PRE_COMMIT_TO_REF") else ""
    text = revisions or (range_of_hook and f"{hook['PRE_COMMIT_FROM_REF']}..{hook['PRE_COMMIT_TO_REF']}")
    return _range(git, text) if text else _heads(git, hook)


def _range(git: Git, text: str) -> Wanted:
    base, dots, tip = text.rpartition("..")
    if tip == NOTHING:  # a push that deletes
        return Wanted((), (), "")
    commit = _commit(git, tip or "HEAD")
    if not commit:
        raise AskedError(f"{tip or 'HEAD'} is no commit of {git.directory}", "name a revision, or two as BASE..REV")
    known = _commit(git, base) if dots else ""
    return Wanted((commit,), (known,) if known else _default(git, (commit,)), "")


def _heads(git: Git, hook: Mapping[str, str]) -> Wanted:
    """A hook of `git commit` or `git merge` is about what comes in now: what HEAD has might be just about to be mended."""
    head, merged, index = _commit(git, "HEAD"), _merged(git, hook), _index(git, hook)
    tips = tuple(filter(None, (head, *merged)))
    less = _default(git, tips)
    return Wanted(tips, (*less, head) if head and hook.get("GIT_INDEX_FILE") else less, index)


def _commit(git: Git, revision: str) -> str:
    return git.ask("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") if revision and revision != NOTHING else ""


def _merged(git: Git, hook: Mapping[str, str]) -> list[str]:
    """What a merge that is about to be committed brings. The hook pre-merge-commit runs before git writes it down, but git tells it."""
    path = git.directory / git.text("rev-parse", "--git-path", "MERGE_HEAD")
    if path.exists():
        return path.read_text().split()
    return [name.removeprefix(_MERGING) for name in hook if name.startswith(_MERGING)]


def _default(git: Git, tips: Sequence[str]) -> tuple[str, ...]:
    """The remote's default branch. None where that has all of it: CI runs on that branch, and looks at everything since the map."""
    found = next(filter(None, (_commit(git, name) for name in _DEFAULTS)), "")
    return (found,) if found and tips and git.run("rev-list", "--max-count=1", *tips, f"^{found}") else ()


def _staged(git: Git, index: str, head: str) -> bytes:
    words = ["diff-index", "--cached", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", head or _EMPTY_TREE]
    return git.run(*words, GIT_INDEX_FILE=index)


def _index(git: Git, hook: Mapping[str, str]) -> str:
    """`git commit FILE` and `git commit -a` hand another index to their hooks."""
    if git.ask("rev-parse", "--is-bare-repository") == "true":
        return ""
    said = hook.get("GIT_INDEX_FILE", "")
    return str(Path(said).absolute()) if said else str(git.directory / git.text("rev-parse", "--git-path", "index"))


What = tuple[str, bytes, str, tuple[str, ...]]
"""Commit, path, blob, and the commits whose trees may have the blob already, under another name."""


class _Check:
    def __init__(self, git: Git, most: int, rules: Rules, known: CommitMap | None) -> None:
        self._git, self._most, self._rules = git, most, rules
        self._map = known or CommitMap({})
        self._mapped = known is not None
        self._blobs: dict[str, frozenset[str]] = {}

    def run(self, wanted: Wanted) -> Findings:
        parents = self._parents(wanted.tips)
        new = self._new(wanted, parents)
        cut = tuple(commit for commit in new if commit in self._shallow)
        found = [*self._of_commits(new, parents), *self._of_cut(cut), *self._of_index(wanted)]
        sizes = sizes_of(self._git, {blob for _, _, blob, _ in found})
        return Findings(tuple(self._big(found, sizes)), tuple(self._old(wanted.tips, parents)), len(new), self._mapped, cut)

    def _parents(self, tips: Sequence[str]) -> dict[str, list[str]]:
        """Every commit that tips lead to, newest first, with its parents."""
        if not tips:
            return {}
        lines = self._git.text("rev-list", "--topo-order", "--parents", *tips).splitlines()
        return {commit: parents for commit, *parents in map(str.split, lines)}

    def _new(self, wanted: Wanted, parents: Mapping[str, object]) -> list[str]:
        """Commits to look at for big files, oldest first."""
        if wanted.less and wanted.tips:
            listed: Iterable[str] = self._git.text("rev-list", "--topo-order", *wanted.tips, "--not", *wanted.less).splitlines()
        else:
            listed = parents
        return [commit for commit in listed if commit not in self._map.new and not self._map.is_old(commit)][::-1]

    # big files

    def _of_commits(self, new: Sequence[str], parents: Mapping[str, Sequence[str]]) -> Iterator[What]:
        """What each commit has that none of its parents has at that path."""
        whole = [commit for commit in new if commit not in self._shallow]
        words = ["diff-tree", "--stdin", "-r", "-m", "--root", "-z", "--raw", "--no-renames", "--no-abbrev"]
        seen: dict[tuple[str, bytes, str], int] = {}
        commit = ""
        for first, path in _pairs(self._git.run(*words, stdin="".join(f"{each}\n" for each in whole).encode()) if whole else b""):
            if not first.startswith(b":"):
                commit = first.decode()
            elif blob := _added(first):
                seen[commit, path, blob] = seen.get((commit, path, blob), 0) + 1
        for (commit, path, blob), times in seen.items():
            if times == max(1, len(parents[commit])):
                yield commit, path, blob, tuple(parents[commit])

    def _of_cut(self, cut: Sequence[str]) -> Iterator[What]:
        """A shallow clone does not say what its last commit changed: all of it is looked at."""
        for commit in cut:
            for path, _, blob in files_of(self._git, commit):
                yield commit, path, blob, ()

    def _of_index(self, wanted: Wanted) -> Iterator[What]:
        if wanted.index:
            for first, path in _pairs(_staged(self._git, wanted.index, "".join(wanted.tips[:1]))):
                if blob := _added(first):
                    yield "", path, blob, wanted.tips

    def _big(self, found: Iterable[What], sizes: Mapping[str, int]) -> Iterator[Big]:
        """Each file once, where it came in. What was there before under another name is none that comes in."""
        told = set()
        for commit, path, blob, before in found:
            small = sizes[blob] <= self._most or self._rules.said_of(path)[1]
            if small or (path, blob) in told or any(blob in self._blobs_of(each) for each in before):
                continue
            told.add((path, blob))
            yield Big(path.decode("utf-8", "surrogateescape"), sizes[blob], commit, commit in self._shallow)

    def _blobs_of(self, commit: str) -> frozenset[str]:
        if commit not in self._blobs:
            self._blobs[commit] = frozenset(blob for _, _, blob in files_of(self._git, commit))
        return self._blobs[commit]

    @cached_property
    def _shallow(self) -> frozenset[str]:
        path = self._git.directory / self._git.text("rev-parse", "--git-path", "shallow")
        return frozenset(path.read_text().split()) if path.exists() else frozenset()

    # commits of before

    def _old(self, tips: Sequence[str], parents: Mapping[str, Sequence[str]]) -> Iterator[Old]:
        """Those through which the others come: no commit of before has them as a parent."""
        old = [commit for commit in parents if self._map.is_old(commit)]
        below = {parent for commit in old for parent in parents[commit]}
        children = {parent: commit for commit in parents for parent in parents[commit]} if old else {}
        for commit in old:
            if commit not in below:
                through = "" if commit in tips else children.get(commit, "")
                yield Old(commit, self._map.names[commit], through, len(old) - 1)


def _pairs(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Of `--raw -z`: what is said of a file, and its path; of a line with a commit that, and nothing."""
    words = iter(data.split(b"\0"))
    for word in words:
        if word.startswith(b":"):
            yield word, next(words)
        elif word:
            yield word, b""


def _added(said: bytes) -> str:
    """The blob that is there afterwards; empty where there is none."""
    _, mode, _, blob, _ = said[1:].decode().split(" ")
    if mode in ("000000", SUBMODULE) or blob == NOTHING:
        return ""
    return blob
