"""What a repository holds, as far as proposals need it: the names of its tracked files, and a few of them read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from builder.errors import SourceError
from builder.process import run

_LIMIT = 256 * 1024
_SCP = re.compile(r"(?:[^/@]+@)?([^/:@]+\.[^/:@]+):(?!//)(.+)\Z")
_URL = re.compile(r"(?:https?|ssh|git)://(?:[^/@]*@)?([^/:]+)(?::\d+)?/(.+)\Z")


@dataclass(frozen=True, slots=True)
class Repository:
    """`root` is the working tree's top; `files` are the tracked files, sorted; `remote` is origin's URL as git has it, or empty."""

    root: Path
    files: tuple[str, ...]
    remote: str = ""

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
    top = run(["git", "rev-parse", "--show-toplevel"], cwd=start, check=False)
    if top.returncode != 0 or not top.text.strip():
        raise SourceError(
            f"{start.resolve()} is not in a git repository's working tree", "go into one or give --repo DIR; a new one: `git init`"
        )
    root = Path(top.text.removesuffix("\n"))
    names = run(["git", "ls-files", "-z"], cwd=root).stdout.split(b"\0")
    remote = run(["git", "remote", "get-url", "origin"], cwd=root, check=False).text.strip()
    return Repository(root, tuple(sorted(_readable(names))), remote)


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
