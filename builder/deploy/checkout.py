"""The working tree of git that a directory of manifests lies in: what was written there is committed, alone, and pushed.

Whatever else is changed or staged in it stays so. Hooks, signing and identity are those of whoever deploys.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from builder import process
from builder.errors import AuthError, DeployError
from builder.source.objects import git_environment

SOURCE, IMAGE = "Source-Commit", "Image"
"""Trailers of every commit of manifests (git-interpret-trailers(1))."""

_UNFINISHED = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
}
"""What of git's own directory says that a commit would be part of something else."""
_THEIRS = "refs/builder/upstream"
_REFUSED = re.compile(r"Authentication failed|Permission denied|could not read (Username|Password)|access denied|403", re.IGNORECASE)
_OVERTAKEN = re.compile(r"fetch first|non-fast-forward|cannot lock ref|failed to update ref|stale info|incorrect old value", re.IGNORECASE)

Governs = Callable[[str, bytes], bool]
"""Whether a file of the directory, by its name and content, is one that is written anew, or removed, now."""


class Checkout:
    """`directory` is absolute, without links, and need not be there yet; `top` is the root of the working tree around it."""

    def __init__(self, directory: Path, top: Path, own: Path, common: Path) -> None:
        self.top = top
        self._directory = directory
        self._own, self._common = own, common
        self._inside = directory.relative_to(top).as_posix()

    @classmethod
    def around(cls, directory: Path) -> Checkout | None:
        """None when the directory is in no git repository. Raises DeployError when it is in one that has no working tree there."""
        directory = directory.resolve()
        start = next(path for path in (directory, *directory.parents) if path.is_dir())
        asked = ("--absolute-git-dir", "--git-common-dir", "--show-toplevel")
        done = process.run(["git", "-C", str(start), "rev-parse", "--path-format=absolute", *asked], env=git_environment(), check=False)
        said, lines = done.stderr.decode("utf-8", "replace").strip(), done.text.splitlines()
        if done.returncode == 0:
            return cls(directory, Path(lines[2]), Path(lines[0]), Path(lines[1]))
        if "not a git repository" in said:
            return None
        if "work tree" in said:
            text = f"{directory} lies in {lines[0]}, a bare repository or the inside of one: nobody would see files there"
            raise DeployError(text, "name a directory of a clone: `git clone` makes one")
        raise DeployError(f"{directory}: {said.splitlines()[-1] if said else 'git cannot read the repository'}")

    def check(self) -> None:
        """Raises DeployError when nothing could be committed here. Nothing is written yet."""
        if self._git("symbolic-ref", "--quiet", "HEAD", check=False).returncode:
            raise DeployError(f"{self.top} is on no branch (detached HEAD): a commit there would be lost", self._how("`git switch BRANCH`"))
        unfinished = [what for name, what in _UNFINISHED.items() if (self._own / name).exists()]
        if unfinished:
            hint = self._how("finish it, or abort it")
            raise DeployError(f"{self.top} is in the middle of a {unfinished[0]}", hint)
        if self.is_ignored():
            raise DeployError(f"{self._directory} is ignored in {self.top}", self._how("change its .gitignore"))

    def is_ignored(self) -> bool:
        """Whether git would not take what is written there."""
        argv = ["git", "-C", str(self.top), "check-ignore", "--quiet", f"./{self._path('kustomization.yaml')}"]
        return process.run(argv, env=git_environment(), check=False).returncode == 0

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One deploy at a time in this clone."""
        with (self._common / "builder-deploy.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def commit(self, names: Iterable[str], ours: Callable[[str], bool], message: str) -> str:
        """Commits these files of the directory, and those of `ours` that are gone from it; the sha, or empty when nothing changed."""
        wanted = {*names, *(name for name in self._deleted() if ours(name))}
        changed = self._changed(sorted(self._path(name) for name in wanted))
        if not changed:
            return ""
        if unknown := [path for path, staged in changed.items() if not staged]:
            self._git("add", "--all", "--", *unknown)
        self._git("commit", "--quiet", "--cleanup=whitespace", "--file=-", "--only", "--", *changed, stdin=message.encode())
        return self._sha("HEAD")

    def _changed(self, paths: Sequence[str]) -> dict[str, bool]:
        """Those of the paths that differ from HEAD, and whether the index has them as they are."""
        status = self._git("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--", *paths).text
        return {line[3:]: line[1] == " " for line in status.split("\0") if line}

    def _deleted(self) -> list[str]:
        """The names of files that HEAD has right in the directory, and the directory has not."""
        if not self._sha("HEAD"):
            return []
        place = "." if self._inside == "." else f"{self._inside}/"
        listed = self._git("ls-tree", "-z", "--name-only", "HEAD", "--", place).text.split("\0")
        names = [path.rpartition("/")[2] for path in listed if path]
        return [name for name in names if not (self._directory / name).exists()]

    def catch_up(self, governs: Governs) -> None:
        """Brings the branch to where the remote's is.

        Commits of manifests that the remote does not have, where it has others, are undone if all they change is written anew now:
        `governs` says so. Raises DeployError when the branch holds anything else that was never pushed.
        """
        remote, branch = self._upstream()
        theirs = self._fetch(remote, branch)
        head = self._sha("HEAD")
        if not theirs or theirs == head:
            return
        if head:
            self._check_ahead(f"{theirs}..{head}", remote)
        if head and self._is_ancestor(theirs, head):
            return
        if head and not self._is_ancestor(head, theirs):
            self._undo(self._sha("merge-base", theirs, head), head, governs)
        self._git("merge", "--quiet", "--ff-only", theirs, hint=self._how(f"`git pull --rebase {remote} {branch}`, then deploy again"))

    def _check_ahead(self, span: str, remote: str) -> None:
        """What is pushed is what was deployed, and nothing along with it."""
        shown = self._git("log", "--format=%h %(trailers:key=Source-Commit,valueonly,separator=%x2C)", span).text.splitlines()
        others = [line.strip() for line in shown if not line.partition(" ")[2].strip()]
        if others:
            text = f"{self.top} has commits that {remote} has not, and that no deploy made: {', '.join(others[:3])}"
            raise DeployError(text, "push them yourself, then deploy again")

    def _undo(self, base: str, head: str, governs: Governs) -> None:
        paths = [path for path in self._git("diff", "--name-only", "--no-renames", "-z", base, head).text.split("\0") if path]
        if not base or not all(self._is_governed(path, base, head, governs) for path in paths):
            text = f"{self.top} has a deploy that was never pushed, and its remote has gone on"
            raise DeployError(text, "`git pull --rebase` there, then deploy again")
        for path in paths:
            self._restore(path, base)
        branch = self._git("symbolic-ref", "HEAD").text.strip()
        self._git("update-ref", "-m", "builder deploy: again, on top of what was pushed meanwhile", branch, base, head)

    def _restore(self, path: str, base: str) -> None:
        if self._content(base, path) is not None:
            self._git("checkout", "--quiet", base, "--", path)
        else:
            self._git("rm", "--quiet", "--force", "--ignore-unmatch", "--", path)

    def _is_governed(self, path: str, base: str, head: str, governs: Governs) -> bool:
        inside, _, name = path.rpartition("/")
        content = self._content(head, path) or self._content(base, path) or b""
        return (inside or ".") == self._inside and governs(name, content)

    def _content(self, commit: str, path: str) -> bytes | None:
        done = self._git("cat-file", "blob", f"{commit}:{path}", check=False)
        return done.stdout if done.returncode == 0 else None

    def push(self) -> bool:
        """False when somebody else was quicker. Raises DeployError, AuthError."""
        remote, branch = self._upstream()
        if self._fetched() == self._sha("HEAD"):
            return True
        done = self._git("push", "--porcelain", remote, f"HEAD:{branch}", check=False)
        said = done.text + done.stderr.decode("utf-8", "replace")
        if done.returncode == 0:
            return True
        if _OVERTAKEN.search(said):
            return False
        raise self._error("push", said)

    def _upstream(self) -> tuple[str, str]:
        """The remote, and its branch, that the current one follows; else the one of that name at origin, or at the only remote."""
        branch = self._git("symbolic-ref", "--short", "HEAD").text.strip()
        remotes = self._git("remote").text.split()
        follows = [self._git("config", "--get", f"branch.{branch}.{key}", check=False).text.strip() for key in ("remote", "merge")]
        if follows[0] in remotes and follows[1]:
            return follows[0], follows[1]
        remote = "origin" if "origin" in remotes else remotes[0] if len(remotes) == 1 else ""
        if not remote:
            raise DeployError(f"{self.top}: nothing says where to push {branch}", "`git branch --set-upstream-to REMOTE/BRANCH` does")
        return remote, f"refs/heads/{branch}"

    def _fetch(self, remote: str, branch: str) -> str:
        """The remote's commit, which is here then; empty when it has no such branch yet."""
        tip = self._git("ls-remote", remote, branch).text.partition("\t")[0]
        if not tip:
            self._git("update-ref", "-d", _THEIRS)
            return ""
        self._git("fetch", "--quiet", "--no-tags", remote, f"+{branch}:{_THEIRS}")
        return self._fetched()

    def _fetched(self) -> str:
        return self._sha(_THEIRS)

    def _is_ancestor(self, older: str, newer: str) -> bool:
        return self._git("merge-base", "--is-ancestor", older, newer, check=False).returncode == 0

    def _sha(self, *words: str) -> str:
        """Of a revision, or what a command says; empty when there is none."""
        asked = words if len(words) > 1 else ("rev-parse", "--verify", "--quiet", *words)
        return self._git(*asked, check=False).text.strip()

    def _path(self, name: str) -> str:
        return name if self._inside == "." else f"{self._inside}/{name}"

    def _how(self, text: str) -> str:
        return f"{text} in {self.top}; --no-record only writes the files"

    def _git(self, *words: str, stdin: bytes = b"", check: bool = True, hint: str = "") -> process.Completed:
        argv = ["git", "-C", str(self.top), "--literal-pathspecs", *words]
        done = process.run(argv, env=git_environment(), stdin=stdin, check=False)
        if check and done.returncode:
            raise self._error(words[0], (done.stderr or done.stdout).decode("utf-8", "replace"), hint)
        return done

    def _error(self, verb: str, said: str, hint: str = "") -> DeployError | AuthError:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        text = f"{self.top}: git {verb} failed: {' / '.join(lines[-4:]) or 'it says nothing'}"
        if _REFUSED.search(said) and verb in ("push", "fetch", "ls-remote"):
            return AuthError(text, f"try `git push` in {self.top}")
        if "tell me who you are" in said or "auto-detect email" in said:
            hint = f"`git config user.name NAME` and `git config user.email ADDRESS` in {self.top}, or GIT_AUTHOR_* and GIT_COMMITTER_*"
        return DeployError(text, hint or f"the files are written; `git {verb}` in {self.top} says more")
