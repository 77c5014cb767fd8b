"""`builder slim-repo --check`: for hooks and CI, so that a repository that was made small stays so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import output
from builder.cli.slim_errors import translated
from builder.errors import UsageError
from builder.model.path_names import in_json, shell_word, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from repo_slim.check import Findings

MOST = "1MB"


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    size = click.option("--max-size", metavar="SIZE", default=MOST, show_default=True, help="How large a file may be.")
    flag = click.option("--check", is_flag=True, help="Fail on a big file, or a commit of before, in what is to be committed or pushed.")
    return flag(size(command))


def check(revisions: str, max_size: str, keep: tuple[str, ...], form: str) -> None:
    """Looks at the index and at HEAD, or at what is named, and ends with 1 when that must not be pushed."""
    from repo_slim.check import check as look
    from repo_slim.errors import SlimError
    from repo_slim.rules import parse_size

    try:
        found = look(Path.cwd(), _size(max_size, parse_size), keep, revisions)
    except SlimError as error:
        raise translated(error) from error
    if form == "json":
        output.document(_document(found))
    _tell(found, max_size)
    if not found.good:
        raise click.exceptions.Exit(1)
    if form != "json":
        output.result(f"good: {output.plural(found.commits, 'new commit')} looked at, no file over {max_size}, no commit of before")


def _size(text: str, parse: Callable[[str], int]) -> int:
    from repo_slim.errors import SlimError

    try:
        return parse(text)
    except SlimError as error:
        raise UsageError(f"--max-size: {error.message}", error.hint) from error


def _document(found: Findings) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(found), "big": [{**asdict(big), "path": in_json(big.path)} for big in found.big], "good": found.good}


def _tell(found: Findings, most: str) -> None:
    for big in found.big:
        where = f"commit {big.commit}" if big.commit else "staged"
        output.error(
            f"{shown(big.path)} has {output.size(big.size)}, more than {most}: {where}", _way_out(big.commit, big.path, cut=big.cut)
        )
    for old in found.old:
        by = f", a parent of {old.through}," if old.through else ""
        text = f"commit {old.commit}{by} is from before slim-repo, and would bring {output.plural(old.more, 'other commit')} back"
        hint = f"it is {old.new} now: take this merge back; `builder slim-repo --move-clone` moves the branch there; then merge that"
        output.error(text, hint)
    if found.cut:
        count = output.plural(len(found.cut), "commit")
        output.warn(f"this clone is shallow: of {count} ({found.cut[0][:12]}) the parents were not looked at; `git fetch --unshallow`")
    if not found.mapped:
        output.note("neither this clone nor origin has refs/builder/commit-map: commits of before slim-repo cannot be told")


def _way_out(commit: str, path: str, *, cut: bool) -> str:
    if not commit:
        return f"`git rm --cached -- {shell_word(path)}` takes it out of the commit; --keep GLOB lets it be"
    if cut:
        return "this shallow clone does not say whether it is new: `git fetch --unshallow`, then check again; --keep GLOB lets it be"
    return f"take it out of {commit[:12]} itself (`git rebase -i {commit[:12]}^`), a later deletion does not help; --keep GLOB lets it be"
