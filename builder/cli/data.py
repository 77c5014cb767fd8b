"""`builder data`: what `slim-repo` took out of commits, to look at and to have back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import output
from builder.errors import UsageError
from builder.model.path_names import in_json, shell_line, shown

if TYPE_CHECKING:
    from builder.cli.reading import Reader
    from builder.model.removed import Lost, Removed

_commit_option = click.option(
    "--commit", "revision", metavar="REV", default="HEAD", help="The commit, by today's name or an old one. Default: HEAD."
)
_repo_option = click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")


@click.group("data")
def command() -> None:
    """List and fetch what slim-repo moved out of the history."""


@command.command("ls")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@_commit_option
@_repo_option
@output.format_option("table", "json")
def ls_command(paths: tuple[str, ...], revision: str, repo: Path | None, form: str) -> None:
    """List the files that slim-repo took out of a commit, with their sizes and sha256.

    PATH is a file, a directory, or a pattern as in .gitignore, from the repository's root. Content of Git LFS files counts where the
    archive has it.
    """
    from builder.cli.reading import reading

    with reading(repo) as reader:
        lost = _lost(reader, revision, paths)
        if form == "json":
            output.document({**_about(lost), "files": [as_json(file) for file in lost.files]})
        elif lost.files:
            rows = [(file.shown, output.size(file.size), _kind(file), file.sha256) for file in lost.files]
            output.table(("PATH", "SIZE", "KIND", "SHA256"), rows, right=("SIZE",))
            output.note(f"{output.plural(len(rows), 'file')}, {output.size(lost.size)}; to get them: {_pull(paths, revision)}")
        else:
            output.note(_nothing(reader, lost))


@command.command("pull")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@_commit_option
@click.option("--to", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Where to. Default: the repository's root.")
@click.option("--force", is_flag=True, help="Replace files that are there with another content.")
@_repo_option
@output.format_option("table", "json")
def pull_command(paths: tuple[str, ...], revision: str, to: Path | None, force: bool, repo: Path | None, form: str) -> None:
    """Write the files that slim-repo took out of a commit to where they were.

    Each is verified by its sha256. A file that is there with the same content stays; one with another content stays, too, and nothing is
    written, unless you say --force. Stopped and run again it goes on.
    """
    from builder.cli.progress import progress
    from builder.cli.reading import reading
    from builder.data.bring import bring
    from builder.data.open import open_archive
    from builder.own_folder import NAME, make_own_folder
    from builder.runs.prepare import data_of

    with reading(repo) as reader:
        lost = _lost(reader, revision, paths)
        top = to.absolute() if to else reader.git.top
        if top is None:
            raise UsageError(f"{reader.git.git_dir} has no working tree", "name a directory: --to DIR")
        if lost.files and not to:
            make_own_folder(top / NAME)
        aside = top / ".builder-pulling" if to else top / NAME / "pulling"
        brought = bring(open_archive(data_of(reader.settings)), lost.files, top, aside, force=force, progress=progress())
    if form == "json":
        files = [{**as_json(file), "written": file in brought.written} for file in lost.files]
        output.document({**_about(lost), "directory": str(top), "files": files})
        return
    for file in brought.written:
        output.result(file.shown)
    _say_done(lost, len(brought.written), len(brought.there), top)


def _lost(reader: Reader, revision: str, paths: Sequence[str]) -> Lost:
    """Raises UsageError for a PATH that the commit did not lose."""
    from builder.cli.restoring import lost_of
    from builder.cli.revisions import find_commit, only_flow
    from builder.runs.prepare import data_of
    from builder.runs.words import split

    flow = only_flow(reader.settings) if split(revision)[0] else ""
    found = lost_of(reader.git, find_commit(reader, flow, revision), data_of(reader.settings))
    for path in paths:
        if not _chosen_by(found, path).files:
            raise UsageError(f"{shown(path)}: slim-repo took no such file out of {found.commit[:12]}", _near(found, path))
    wanted = {file for path in paths for file in _chosen_by(found, path).files}
    return replace(found, files=tuple(file for file in found.files if file in wanted)) if paths else found


def _chosen_by(found: Lost, path: str) -> Lost:
    """What has just this name, or lies below; else what the pattern matches."""
    from builder.runs.lost import chosen

    named = tuple(file for file in found.files if file.path == path or file.path.startswith(f"{path.rstrip('/')}/"))
    if named:
        return replace(found, files=named)
    try:
        return chosen(found, [path])
    except ValueError as error:
        raise UsageError(
            f"{shown(path)} is no path or pattern: expected {error}", "a path from the repository's root, or *.ckpt"
        ) from error


def _near(found: Lost, path: str) -> str:
    import difflib

    near = difflib.get_close_matches(path, [file.shown for file in found.files], 3)
    return f"did you mean {' or '.join(near)}?" if near else "`builder data ls` lists them"


def _about(lost: Lost) -> dict[str, object]:
    return {"commit": lost.commit, "was": lost.was, "size": lost.size}


def as_json(file: Removed) -> dict[str, object]:
    return {"path": in_json(file.path), "size": file.size, "sha256": file.sha256, "kind": _kind(file), "mode": f"{file.mode:o}"}


def _nothing(reader: Reader, lost: Lost) -> str:
    """A branch may still be one of before."""
    now = reader.git.new_name(lost.commit)
    of_before = f"{lost.commit[:12]} is from before slim-repo, and has all its files; it is {now[:12]} now"
    return of_before if now else f"{lost.commit[:12]}: slim-repo took nothing out of it"


def _kind(file: Removed) -> str:
    return "lfs" if file.lfs else "file"


def _pull(paths: Sequence[str], revision: str) -> str:
    words = ["builder", "data", "pull", *paths, *(() if revision == "HEAD" else ("--commit", revision))]
    return shell_line(words)


def _say_done(lost: Lost, written: int, there: int, top: Path) -> None:
    if not lost.files:
        output.note(f"{lost.commit[:12]}: slim-repo took nothing out of it; nothing to do")
        return
    same = f"; {there} {'was' if there == 1 else 'were'} there already" if there else ""
    output.note(f"{output.plural(written, 'file')} written to {top}, verified{same}")
