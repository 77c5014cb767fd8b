"""Writes the files of a commit's image into a directory: what the image's code layers hold, byte for byte."""

from __future__ import annotations

from pathlib import Path

from builder.image import code, lfs
from builder.model.tree import EXECUTABLE, Commit
from builder.settings import ImageSettings
from builder.source.export import export_files
from builder.source.repository import Git


def export(git: Git, commit: Commit, settings: ImageSettings, directory: Path) -> None:
    """Fills `directory`, which is new or empty. Git LFS files are pointers or content, as `[image] lfs` says."""
    entries = code.code_tree(git, commit, settings, code.Known()).entries
    git.fetch_missing(commit, entries)
    content = [entry for entry in entries if entry.oid.startswith(lfs.PREFIX)]
    export_files(git, [entry for entry in entries if not entry.oid.startswith(lfs.PREFIX)], directory)
    for entry, _, chunks in lfs.stream(git, content):
        path = directory / entry.path.decode("utf-8", "surrogateescape")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.writelines(chunks)
        if entry.mode == EXECUTABLE:
            path.chmod(0o755)
