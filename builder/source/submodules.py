"""Where the objects of a submodule are: in the clone that `git submodule update --init` makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import SourceError
from builder.model.tree import SUBMODULE, Entry

if TYPE_CHECKING:
    from builder.source.repository import Git


def directory(git: Git, link: Entry, name: str) -> Path:
    """The git directory of the submodule at `link`. Raises SourceError naming the path when it was never cloned."""
    inside = Path("modules", name.lstrip("/"))
    for found in (git.own_dir / inside, git.git_dir / inside, *_checked_out(git, link)):
        if (found / "objects").is_dir():
            return found
    raise absent(link)


def _checked_out(git: Git, link: Entry) -> Iterator[Path]:
    """Where the submodule's working tree says that its git directory is (gitrepository-layout(5)): beside it, in old clones."""
    if git.top:
        own = git.top / link.path.decode("utf-8", "surrogateescape") / ".git"
        yield own
        with suppress(OSError, UnicodeDecodeError):
            yield own.parent / own.read_text().removeprefix("gitdir:").strip()


def without_repository(git: Git) -> Iterator[str]:
    """The paths of submodules in the index whose working trees name a git directory that is gone."""
    for line in git.run("ls-files", "--stage", "-z").stdout.split(b"\0"):
        head, _, path = line.partition(b"\t")
        if not head.startswith(b"160000 "):
            continue
        own, *others = _checked_out(git, Entry(path, SUBMODULE, ""))
        if own.exists() and not any((found / "objects").is_dir() for found in (own, *others)):
            yield path.decode("utf-8", "surrogateescape")


def names(git: Git, modules: Entry) -> dict[bytes, str]:
    """path -> name of every submodule that a commit's own .gitmodules lists."""
    listed = git.run("config", "--file", "-", "--null", "--get-regexp", r"^submodule\..*\.path$", stdin=git.read(modules), check=False)
    found: dict[bytes, str] = {}
    for item in listed.stdout.split(b"\0"):
        key, _, path = item.partition(b"\n")
        name = key.decode("utf-8", "surrogateescape").removeprefix("submodule.").removesuffix(".path")
        if ".." not in name.split("/"):  # git refuses such names too (CVE-2018-11235)
            found.setdefault(path, name)
    return found


def absent(link: Entry) -> SourceError:
    path = link.path.decode("utf-8", "replace")
    return SourceError(
        f"submodule {path}: its commit {link.oid[:12]} is not in this clone",
        f'`git submodule update --init {path}` brings it; submodules = "skip" in [image] leaves submodules out',
    )
