"""Which repository is meant, and which places are refused before anything is written: there somebody else's things lie."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from repo_slim import plan, state
from repo_slim.errors import AskedError
from repo_slim.files import remove
from repo_slim.git import Git

_MADE = ("mirror.git", "slim.git", "report.html", "report.json", "objects.jsonl", "commit-map.json", "spool", plan.NAME)
_LEFTOVER = re.compile(r"\.(mirror\.git|slim\.git|trial\.git|original.*\.bundle|[a-z-]+\.(json|jsonl|toml|html))\.(part|trial).*")
_OURS = re.compile(r"lock|plan\.toml(\.old)?|original.*\.bundle|\.state\.json\.part")
"""What may lie in a working directory that has no state yet: whoever writes a plan first, or was killed at once, goes on."""
_NEVER = "and the source is never written to"
_SCP = re.compile(r"(?:[^/@:]+@)?(?P<host>[^/:]+):(?P<path>.*)")


def top(source: str) -> str:
    """The repository's top, as an absolute path, wherever in it the source is; `agent` and `agent/.git` are one. URLs as they are."""
    path = Path(source).expanduser()
    if not path.exists():
        return source if ":" in source else str(path.resolve())
    return str(_top(path.resolve())) if path.is_dir() else str(path.resolve())


def _top(path: Path) -> Path:
    git = Git(path)
    if tree := git.ask("rev-parse", "--show-toplevel"):
        return Path(tree)
    if not (found := git.ask("rev-parse", "--absolute-git-dir")):
        return path
    directory = Path(found)
    tree = Git(directory.parent).ask("rev-parse", "--show-toplevel") if directory.name == ".git" else ""
    return Path(tree) if tree else directory


def _directories(source: str) -> Iterator[Path]:
    """All that a source on this disk consists of: its top, and its git directory, which may be elsewhere."""
    path = Path(source)
    if path.is_dir():
        yield path.resolve()
        if common := Git(path).ask("rev-parse", "--git-common-dir"):
            yield (path / common).resolve()


def check_work(work: Path, source: str) -> None:
    """Raises AskedError unless the directory is outside of the source, and empty or one of ours."""
    for directory in _directories(source):
        if work.resolve().is_relative_to(directory):
            raise AskedError(f"{work} is inside {directory}, {_NEVER}", "name a directory elsewhere: --work DIR")
    if not work.exists():
        return
    if not work.is_dir():
        raise AskedError(f"{work} is no directory", "name another one: --work DIR")
    others = sorted(path.name for path in work.iterdir() if not _OURS.fullmatch(path.name))
    if others and not (work / state.NAME).is_file():
        raise AskedError(f"{work} has files that are none of slim-repo's: {others[0]}", "name a new directory, or an empty one: --work DIR")


def check_archive(archive: str, work: Path, source: str) -> None:
    """Raises AskedError for one inside the source, or inside the working directory: an archive outlives both."""
    if not archive or "://" in archive:
        return
    path = Path(archive).expanduser().resolve()
    for directory, why in ((work.resolve(), "which is thrown away one day"), *((each, _NEVER) for each in _directories(source))):
        if path.is_relative_to(directory):
            raise AskedError(f"the archive {archive} is inside {directory}, {why}", "name a place elsewhere: --archive DIR or s3://...")


def check_target(url: str, source: str, work: Path) -> None:
    """Raises AskedError for a remote that is the source itself, is not there, or is one of the repositories that are worked on."""
    if _same(url, source):
        text = f"{url} is the source itself, which is never written to"
        raise AskedError(
            text, "publish to a new, empty repository; to replace a remote, slim a `git clone --mirror` of it, and publish there"
        )
    directory = _on_disk(url)
    if directory and not Path(directory).exists():
        raise AskedError(
            f"{url} is not there", f"make it first, here with `git init --bare {url}`; or name the URL of a new, empty repository"
        )
    if directory and Path(directory).is_relative_to(work.resolve()):
        raise AskedError(f"{url} is inside {work}, which is thrown away one day", "publish to a new, empty repository elsewhere")


def _same(one: str, other: str) -> bool:
    paths = [_on_disk(one), _on_disk(other)]
    if paths[0] and paths[1]:
        return {*_directories(paths[0])} & {*_directories(paths[1])} != set()
    return _at_a_server(one) == _at_a_server(other) and not any(paths)


def _on_disk(url: str) -> str:
    """A path, also where the URL is one of a path; empty for what is at a server."""
    if url.startswith("file://"):
        return top(unquote(urlsplit(url).path))
    return top(url) if ":" not in url or Path(url).expanduser().exists() else ""


def _at_a_server(url: str) -> tuple[str, str]:
    """Host and path: the same repository by https and by ssh, whoever asks."""
    if "://" in url:
        host, path = urlsplit(url).hostname or "", urlsplit(url).path
    else:
        found = _SCP.match(url)
        host, path = (found["host"], found["path"]) if found else ("", url)
    return host.lower(), path.strip("/").removesuffix(".git")


def clear(work: Path) -> None:
    """Takes away what was made there, file by file: no bundle, nothing that somebody else put there. A plan stays as `plan.toml.old`."""
    if (work / plan.NAME).exists():
        (work / plan.NAME).replace(work / f"{plan.NAME}.old")
    for path in work.iterdir():
        if path.name in _MADE or _LEFTOVER.fullmatch(path.name):
            remove(path)
