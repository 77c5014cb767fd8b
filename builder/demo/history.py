"""Makes a git repository of examples/agent with the commits of examples/history.

examples/agent is the last commit's tree. Each patch leads from one commit to the next, so that taking all of them back
gives the first. Names, dates and settings of git are fixed: every machine gets the same commit ids.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from builder.data_files import data_path
from builder.errors import UsageError
from builder.process import run

SUBJECT = "Train a small model of the next action"
BODY = "Click and type, from 1200 recorded steps. The accuracy goes to the log and to out/eval.json."
_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_DEFAULT_HASH": "sha1",
    "GIT_AUTHOR_NAME": "Ada Example",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_AUTHOR_DATE": "2024-05-01T08:00:00+0000",
    "GIT_COMMITTER_NAME": "Ada Example",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_COMMITTER_DATE": "2024-05-01T08:00:00+0000",
}


def make_repository(directory: Path, path: str) -> None:
    """Fills `directory`, which must not exist or be empty, with the repository; branch main is checked out.

    `path` is the PATH on which git is found. Raises UsageError when the directory cannot be written.
    """
    _copy_example(directory)
    patches = sorted(data_path("examples/history").glob("*.patch"))
    git = _Git(directory, path)
    git("init", "--quiet", "--template=", "--initial-branch=main")
    for patch in reversed(patches):
        git("apply", "--reverse", str(patch.absolute()))
    git("add", "--all")
    git("commit", "--quiet", "--message", SUBJECT, "--message", BODY)
    git("am", "--quiet", "--committer-date-is-author-date", *(str(patch.absolute()) for patch in patches))


def _copy_example(directory: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "runs", "out")
    try:
        shutil.copytree(data_path("examples/agent"), directory, dirs_exist_ok=True, ignore=ignored)
    except OSError as error:
        why = error.strerror or "the disk may be full"  # copytree gathers errors, and loses their words
        raise UsageError(f"cannot write into {directory}: {why}", "name another directory") from error


class _Git:
    """git in one directory, untouched by anybody's configuration."""

    def __init__(self, directory: Path, path: str) -> None:
        self._directory = directory
        self._environment = {**_ENVIRONMENT, "PATH": path, "HOME": str(directory)}

    def __call__(self, *words: str) -> None:
        arguments: Sequence[str] = ["git", "-c", "core.autocrlf=false", "-c", "core.fileMode=true", *words]
        run(arguments, cwd=self._directory, env=self._environment)
