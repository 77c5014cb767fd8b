"""Where the objects of a submodule are: in the clone that `git submodule update --init` makes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import SourceError
from builder.model.tree import Commit, Entry

if TYPE_CHECKING:
    from builder.source.repository import Git


def directory(git: Git, commit: Commit, link: Entry) -> Path:
    """The git directory of the submodule at `link`. Raises SourceError naming the path when it was never cloned."""
    inside = git.git_dir / "modules" / name_of(git, commit, link.path)
    if (inside / "objects").is_dir():
        return inside
    old_style = git.top / link.path.decode("utf-8", "surrogateescape") / ".git" if git.top else None
    if old_style and (old_style / "objects").is_dir():
        return old_style
    raise absent(link)


def name_of(git: Git, commit: Commit, path: bytes) -> str:
    """A submodule's name by its path, as the commit's own .gitmodules has it; the path itself where it says nothing."""
    text = git.read_path(commit, ".gitmodules")
    if text is None:
        return path.decode("utf-8", "surrogateescape")
    listed = git.run("config", "--file", "-", "--null", "--get-regexp", r"^submodule\..*\.path$", stdin=text, check=False)
    for item in listed.stdout.split(b"\0"):
        key, _, value = item.partition(b"\n")
        if value == path:
            name = key.decode("utf-8", "surrogateescape").removeprefix("submodule.").removesuffix(".path")
            if ".." not in name.split("/"):  # git refuses such names too (CVE-2018-11235)
                return name
    return path.decode("utf-8", "surrogateescape")


def absent(link: Entry) -> SourceError:
    path = link.path.decode("utf-8", "replace")
    return SourceError(
        f"submodule {path}: its commit {link.oid[:12]} is not in this clone",
        f'`git submodule update --init {path}` brings it; submodules = "skip" in [image] leaves submodules out',
    )
