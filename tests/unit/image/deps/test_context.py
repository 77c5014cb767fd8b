"""The context of a Dockerfile holds what the settings declare, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from builder.errors import DepsError
from builder.image.deps.context import export, select
from builder.image.deps.inputs import CommitFiles
from builder.model.tree import EXECUTABLE, FILE, SYMLINK, Entry

TREE = {
    b"requirements.txt": (FILE, b"six"),
    b"sub/requirements.txt": (FILE, b"click"),
    b"src/a.py": (FILE, b"a"),
    b"src/deep/b.py": (EXECUTABLE, b"b"),
    b"src/deep/b.txt": (FILE, b"t"),
    b"srcs": (FILE, b"no"),
    b"link": (SYMLINK, b"../../etc"),
    b"caf\xe9": (FILE, b"latin"),
}
ENTRIES = [Entry(path, mode, path.hex().ljust(40, "0")[:40]) for path, (mode, _) in TREE.items()]


def stream(entries: Sequence[Entry]) -> Iterator[tuple[Entry, int, Iterator[bytes]]]:
    for entry in entries:
        content = TREE.get(entry.path, (FILE, b"hostile"))[1]
        yield entry, len(content), iter([content[:1], content[1:]])


FILES = CommitFiles(lambda path: TREE[path.encode()][1], lambda: ENTRIES, stream)


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("requirements.txt", [b"requirements.txt"]),
        ("src", [b"src/a.py", b"src/deep/b.py", b"src/deep/b.txt"]),
        ("src/", [b"src/a.py", b"src/deep/b.py", b"src/deep/b.txt"]),
        ("./src/*.py", [b"src/a.py"]),
        ("**/*.py", [b"src/a.py", b"src/deep/b.py"]),
        ("**/requirements.txt", [b"requirements.txt", b"sub/requirements.txt"]),
        ("caf?", [b"caf\xe9"]),
        (".", sorted(TREE)),
    ],
)
def test_patterns_are_files_directories_and_globs_from_the_root(pattern: str, chosen: list[bytes]) -> None:
    assert [entry.path for entry in select(ENTRIES, [pattern])] == chosen


def test_patterns_add_up() -> None:
    assert [entry.path for entry in select(ENTRIES, ["srcs", "link", "srcs"])] == [b"link", b"srcs"]


@pytest.mark.parametrize("pattern", ["requirement.txt", "Src", "src/*.txt", "a.py"])
def test_a_pattern_that_names_nothing_is_an_error(pattern: str) -> None:
    with pytest.raises(DepsError, match="no file of the commit matches"):
        select(ENTRIES, [pattern])


def test_what_is_no_pattern_is_an_error() -> None:
    with pytest.raises(DepsError, match="is no pattern"):
        select(ENTRIES, ["[a"])


def test_exports_bytes_modes_links_and_one_time(tmp_path: Path) -> None:
    export(FILES, ENTRIES, tmp_path)
    found = {path.relative_to(tmp_path).as_posix().encode("utf-8", "surrogateescape") for path in tmp_path.rglob("*") if not path.is_dir()}
    assert found == set(TREE)
    assert (tmp_path / "src/deep/b.py").read_bytes() == b"b"
    assert (tmp_path / "src/deep/b.py").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "src/a.py").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "link").is_symlink()
    assert len({path.lstat().st_mtime for path in (tmp_path, *tmp_path.rglob("*"))}) == 1


@pytest.mark.parametrize("path", [b"../evil", b"/evil", b"a/../../evil"])
def test_a_hostile_tree_cannot_write_elsewhere(path: bytes, tmp_path: Path) -> None:
    inside = tmp_path / "in" / "side"
    inside.mkdir(parents=True)
    with pytest.raises(DepsError, match="leads out"):
        export(FILES, [Entry(path, FILE, "0" * 40)], inside)
    assert not list(tmp_path.rglob("evil"))


def test_a_hostile_tree_cannot_write_through_a_link(tmp_path: Path) -> None:
    twice = [Entry(b"link", SYMLINK, "0" * 40), Entry(b"link/passwd", FILE, "0" * 40)]
    with pytest.raises((DepsError, OSError)):
        export(FILES, twice, tmp_path)
    assert (tmp_path / "link").is_dir()
    assert not (tmp_path / "link").is_symlink()
