"""`.builder`, the folder in a repository that this tool writes to: it ignores itself, so nothing of it gets into a commit or a snapshot."""

from __future__ import annotations

from pathlib import Path

NAME = ".builder"


def make_own_folder(directory: Path) -> None:
    """Makes the directory; if it is `.builder`, or lies in one, that gets a .gitignore of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    for folder in (directory, *directory.parents):
        if folder.name == NAME and not (folder / ".gitignore").exists():
            (folder / ".gitignore").write_text("*\n", encoding="utf-8")
