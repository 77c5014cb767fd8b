"""What a repository holds, as far as proposals need it: the names of its tracked files, and a few of them read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import ProgramMissingError, SourceError

if TYPE_CHECKING:
    from git import Repo

_LIMIT = 256 * 1024
_SCP = re.compile(r"(?:[^/@]+@)?([^/:@]+\.[^/:@]+):(?!//)(.+)\Z")
_URL = re.compile(r"(?:https?|ssh|git)://(?:[^/@]*@)?([^/:]+)(?::\d+)?/(.+)\Z")


@dataclass(frozen=True, slots=True)
class Repository:
    """`root` is the working tree's top; `files` are the tracked files, sorted; `remote` is the URL of origin (or of the only remote)
    as git has it, or empty. `branch` is the remote's default branch, as far as this clone knows it; `guessed`: it does not, and there
    is no branch of the usual names either, so that it is just the one that is checked out."""

    root: Path
    files: tuple[str, ...]
    remote: str = ""
    branch: str = "main"
    guessed: bool = False

    def text(self, path: str) -> str:
        """The file's text, empty when it is not tracked, not there or no file. Of long files the beginning."""
        if path not in self.files:
            return ""
        try:
            with (self.root / path).open("rb") as file:
                return file.read(_LIMIT).decode("utf-8", "replace")
        except OSError:
            return ""

    def has_directory(self, path: str) -> bool:
        return any(name.startswith(f"{path}/") for name in self.files)


def look(start: Path) -> Repository:
    """The repository whose working tree holds `start`. Raises SourceError where there is none."""
    try:
        import git
    except ImportError as error:  # it asks for the program while it is imported
        raise ProgramMissingError("git is not installed, or not on PATH", "install git (Debian: apt-get install git)") from error
    try:
        with git.Repo(start, search_parent_directories=True) as repo:
            if repo.working_tree_dir is None:
                raise SourceError(f"{start.resolve()} is in a bare repository", "go into a working tree of it: `git worktree add DIR`")
            names = repo.git.ls_files("-z", stdout_as_string=False, strip_newline_in_stdout=False).split(b"\0")
            branch, guessed = _branch(repo)
            return Repository(Path(repo.working_tree_dir), tuple(sorted(_readable(names))), _remote(repo), branch, guessed)
    except (git.InvalidGitRepositoryError, git.NoSuchPathError) as error:
        hint = "go into one or give --repo DIR; a new one: `git init`"
        raise SourceError(f"{start.resolve()} is not in a git repository's working tree", hint) from error
    except git.GitCommandError as error:
        raise SourceError(f"{start.resolve()}: {str(error.stderr).strip()}", "`git status` there shows the same") from error


def _branch(repo: Repo) -> tuple[str, bool]:
    """What the clone was told, else the one of the usual names that is there, here or at a remote, else the one that is checked out: which
    is a guess."""
    told = repo.git.for_each_ref("--format=%(symref:lstrip=3)", "refs/remotes/*/HEAD").split()
    current = "" if repo.head.is_detached else repo.active_branch.name
    there = {current, *repo.git.for_each_ref("--format=%(refname:lstrip=2)", "refs/heads").split()}
    there |= set(repo.git.for_each_ref("--format=%(refname:lstrip=3)", "refs/remotes").split())
    sure = next(iter(told), "") or next((name for name in ("main", "master") if name in there), "")
    return sure or current or "main", not sure


def _remote(repo: Repo) -> str:
    """The URL of origin, or of the only remote."""
    names = [remote.name for remote in repo.remotes]
    name = "origin" if "origin" in names else names[0] if len(names) == 1 else ""
    return next(iter(repo.remote(name).urls), "") if name else ""


def public_url(remote: str) -> str:
    """Where people find the repository: https, without user, password and port; empty for a path on a disk."""
    match = _URL.match(remote) or _SCP.match(remote)
    return f"https://{match[1]}/{match[2].removesuffix('/').removesuffix('.git')}" if match else ""


def _readable(names: list[bytes]) -> list[str]:
    """Settings are UTF-8: a name that is not cannot be proposed."""
    readable = []
    for name in names:
        text = name.decode("utf-8", "replace")
        if text and "\ufffd" not in text:
            readable.append(text)
    return readable
