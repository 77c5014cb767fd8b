"""The numbers about a repository, the same for the same history: `report.json`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from repo_slim.analyse import Analysis, shown
from repo_slim.git import Git
from repo_slim.selection import Selection, Tips

_LARGEST, _ROWS = 50, 50
_LIMIT = 1 << 20


def report(git: Git, analysis: Analysis, selection: Selection, tips: Tips, missing: Iterable[str] = ()) -> dict[str, Any]:
    """Bytes and counts. `disk` is what something takes in the mirror's packs, `size` what it has as a file.

    `missing`: LFS objects that nobody has.
    """
    packed = int(git.text("rev-list", "--objects", "--all", "--disk-usage"))
    gone = sum(analysis.disk[blob] for blob in selection.gone)
    head = {blob for _, blob in tips.get("HEAD", ())}
    protected = {blob for found in tips.values() for _, blob in found}
    return {
        "schema": 1,
        "commits": analysis.commits,
        "clone": {
            "filter_blob_limit_1m": packed - sum(analysis.disk[blob] for blob in analysis.size if _left_out(analysis, blob, head)),
            "before": packed,
            "after": packed - gone,
        },
        "removed": {
            "file_versions": len(selection.removed),
            "gone": len(selection.gone),
            "size": sum(analysis.size[blob] for blob in selection.removed),
            "disk": gone,
            "spared_by_tips": _sum(analysis, selection.spared),
        },
        "lfs": _lfs(analysis, selection, protected, frozenset(missing)),
        "lfs_missing": sorted(missing),
        "by_path": _by(analysis, lambda path: [path]),
        "by_directory": _by(analysis, _directories),
        "by_extension": _by(analysis, lambda path: [PurePosixPath(path).suffix or "(none)"]),
        "by_author": _by_birth(analysis, lambda born: born.author),
        "by_year": _by_birth(analysis, lambda born: str(1970 + born.time // 31_556_952)),
        "largest": [_row(analysis, selection, blob) for blob in sorted(analysis.size, key=lambda b: (-analysis.size[b], b))[:_LARGEST]],
    }


def portable(value: Any) -> Any:
    """The same report without what depends on how the mirror happens to be packed."""
    if isinstance(value, dict):
        return {key: portable(inner) for key, inner in value.items() if key not in ("disk", "clone")}
    return [portable(inner) for inner in value] if isinstance(value, list) else value


def _left_out(analysis: Analysis, blob: str, head: set[str]) -> bool:
    """`--filter=blob:limit=1m` leaves out what has that many bytes or more; the checkout then fetches what HEAD needs."""
    return analysis.size[blob] >= _LIMIT and blob not in head


def _sum(analysis: Analysis, blobs: Iterable[str]) -> dict[str, int]:
    found = list(blobs)
    return {
        "file_versions": len(found),
        "size": sum(map(analysis.size.__getitem__, found)),
        "disk": sum(map(analysis.disk.__getitem__, found)),
    }


def _lfs(analysis: Analysis, selection: Selection, protected: set[str], missing: frozenset[str]) -> dict[str, Any]:
    every = {pointer.oid: pointer.size for pointer in analysis.pointers.values()}
    still = {analysis.pointers[blob].oid for blob in protected if blob in analysis.pointers}
    kept = {oid: pointer.size for oid, pointer in selection.lfs.items() if oid not in missing}
    return {
        "objects": len(every),
        "size": sum(every.values()),
        "at_tips": {"objects": len(still), "size": sum(every[oid] for oid in still)},
        "archived": {"objects": len(kept), "size": sum(kept.values())},
    }


def _by(analysis: Analysis, names: Callable[[str], Iterable[str]]) -> list[dict[str, Any]]:
    """A blob with several names counts for the first of them in each group."""
    groups: dict[str, list[str]] = {}
    for blob, paths in analysis.paths.items():
        for name in names(shown(min(paths))):
            groups.setdefault(name, []).append(blob)
    return _rows(analysis, groups)


def _directories(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) + "/" for depth in range(min(3, len(parts)))] or ["(top)"]


def _by_birth(analysis: Analysis, name: Callable[[Any], str]) -> list[dict[str, Any]]:
    groups: dict[str, list[str]] = {}
    for blob, born in analysis.born.items():
        groups.setdefault(name(born), []).append(blob)
    return _rows(analysis, groups)


def _rows(analysis: Analysis, groups: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"name": name, **_sum(analysis, blobs)} for name, blobs in groups.items()]
    return sorted(rows, key=lambda row: (-row["size"], row["name"]))[:_ROWS]


def _row(analysis: Analysis, selection: Selection, blob: str) -> dict[str, Any]:
    born = analysis.born.get(blob)
    return {
        "blob": blob,
        "size": analysis.size[blob],
        "disk": analysis.disk[blob],
        "paths": sorted(map(shown, analysis.paths[blob])),
        "commit": born.commit if born else "",
        "author": born.author if born else "",
        "time": born.time if born else 0,
        "goes": blob in selection.gone,
    }
