"""Where `builder slim-repo` works, and where what it takes out is kept, when nobody says so."""

from __future__ import annotations

from pathlib import Path

from builder.settings import Settings


def work_for(source: str) -> Path:
    """`NAME.slim` beside the repository that the source is, or is in; for a URL in the working directory. An absolute path."""
    from repo_slim.places import top

    place = top(source)
    path = Path(place)
    if path.exists():
        return path.with_name(f"{path.name.removesuffix('.git')}.slim")
    return Path(f"{place.rstrip('/').rpartition('/')[2].removesuffix('.git') or 'repository'}.slim").absolute()


def archive_for(source: str, work: Path, settings: Settings) -> str:
    """The data root; `WORK-archive` where that is inside the source, which is never written to, or inside WORK, which people throw away."""
    from repo_slim.places import top

    root = settings.data.root
    if "://" in root:
        return root
    path = settings.root / Path(root).expanduser()
    inside = any(path.resolve().is_relative_to(Path(each).resolve()) for each in (top(source), work) if Path(each).exists())
    return str(work.with_name(f"{work.name}-archive") if inside else path)
