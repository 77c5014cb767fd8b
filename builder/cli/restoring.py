"""What a run gets back of what `slim-repo` took out of its commit, as [data] restore says."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from builder.cli import output
from builder.errors import SourceError, UsageError

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.model.removed import Lost
    from builder.model.tree import Commit
    from builder.settings import DataSettings
    from builder.source.repository import Git


T = TypeVar("T")


def lost_of(git: Git, commit: Commit, data: DataSettings) -> Lost:
    """What the commit has no more. `data` has absolute paths."""
    from builder.cache import blob_cache
    from builder.data.open import open_archive
    from builder.runs import lost

    return lost.lost_of(commit, git, open_archive(data), blob_cache(os.environ))


def list_for(maker: Maker, commit: Commit) -> str:
    """The name of the list of files that commands at the commit get back, which is kept in the data root; empty when there are none.

    Says so, or asks first, as [data] restore says.
    """
    from builder.data.open import open_root
    from builder.data.restore_list import write_list
    from builder.runs.prepare import data_of

    data, lost = data_of(maker.settings), say_needed(maker, commit)
    if not lost.files or data.restore == "never" or (data.restore == "ask" and not maker.answers(commit.sha, lambda: _agreed(lost))):
        return ""
    return write_list(open_root(data.root, maker.start, data.endpoint), lost)


def say_needed(maker: Maker, commit: Commit) -> Lost:
    """What commands at the commit need of what it lost."""
    from builder.runs.lost import needed, not_in
    from builder.runs.prepare import data_of
    from builder.source.snapshot import taken_on

    data = data_of(maker.settings)
    lost = lost_of(maker.git, commit, data)
    if head := taken_on(commit):
        lost = not_in(lost_of(maker.git, maker.git.commit(head), data), commit, maker.git)
    if lost.files:
        lost = needed(lost, maker.settings_at(commit).image, data.restore_paths)
    if lost.files:
        what = {"auto": "commands get them back", "ask": "commands may get them back", "never": "they stay there, as [data] restore says"}
        maker.say_once(f"{describe(lost)} {what[data.restore]}", output.note)
    return lost


def with_content(maker: Maker, commit: Commit, work: Callable[[], T]) -> T:
    """What `work` makes of the commit's files. LFS content that the server does not give comes from the archive, and it is done again."""
    from builder.data.open import open_archive
    from builder.runs.lost import bring_content
    from builder.runs.prepare import data_of

    try:
        return work()
    except SourceError:
        if maker.image_settings(commit).lfs != "fetch":
            raise
        data = data_of(maker.settings)
        if not bring_content(lost_of(maker.git, commit, data), maker.git, open_archive(data)):
            raise
    return work()


def describe(lost: Lost) -> str:
    was = f" ({lost.was[:7]} before)" if lost.was != lost.commit else ""
    return f"{output.plural(len(lost.files), 'file')}, {output.size(lost.size)}, that slim-repo took out of {lost.commit[:7]}{was}:"


def _agreed(lost: Lost) -> bool:
    import click

    if not sys.stdin.isatty():
        hint = 'set [data] restore = "auto" or "never"; restore_paths says which of them'
        raise UsageError(f'{describe(lost)} restore them? Nobody is here to answer, and [data] restore is "ask"', hint)
    return click.confirm(f"{describe(lost)} restore them for this run?", default=True, err=True)
