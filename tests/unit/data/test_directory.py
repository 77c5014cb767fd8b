"""A data root in a directory, beyond what every root does."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.data.directory import DirectoryObjects
from builder.errors import DataError

NOBODY = 65534


@contextmanager
def without_rights(directory: Path) -> Iterator[None]:
    """Nobody may write to the directory, not even root, who becomes someone else for it."""
    directory.chmod(0o500)
    if root := os.geteuid() == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        directory.chmod(0o700)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_what_is_new_is_read_only_for_everybody(tmp_path: Path) -> None:
    root = DirectoryObjects(tmp_path / "data")
    before = os.umask(0o022)
    try:
        root.put("new", b"x", new=True)
        root.put("other", b"x")
        root.put_file("file", tmp_path / "data/new", hashlib.sha256(b"x").hexdigest(), new=True)
    finally:
        os.umask(before)
    assert [mode(tmp_path / "data" / name) for name in ("new", "file", "other")] == [0o444, 0o444, 0o644]


def test_nothing_but_objects_is_left(tmp_path: Path) -> None:
    root = DirectoryObjects(tmp_path)
    root.put("a/b/c", b"x")
    root.put("a/b/c", b"y", new=True)
    assert files(tmp_path) == ["a/b/c"]
    root.delete(["a/b/c"])
    assert [path.name for path in tmp_path.iterdir()] == [".tmp"]


def test_a_root_in_our_own_folder_ignores_itself(tmp_path: Path) -> None:
    DirectoryObjects(tmp_path / ".builder/data").put("a", b"")
    assert (tmp_path / ".builder/.gitignore").read_text() == "*\n"


def test_what_killed_writers_left_goes_after_a_day(tmp_path: Path) -> None:
    DirectoryObjects(tmp_path).put("a", b"")
    old, fresh = tmp_path / ".tmp/old", tmp_path / ".tmp/fresh"
    old.touch()
    fresh.touch()
    os.utime(old, (0, time.time() - 25 * 3600))
    assert [found.key for found in DirectoryObjects(tmp_path).list()] == ["a"]
    DirectoryObjects(tmp_path).put("a", b"")
    assert (old.exists(), fresh.exists()) == (False, True)


def test_no_rights_is_an_error_that_names_the_object(tmp_path: Path) -> None:
    root = DirectoryObjects(tmp_path / "data")
    root.put("a/b", b"x")
    (tmp_path / "data/a/b").chmod(0)
    with without_rights(tmp_path / "data"):
        for verb in (lambda: root.put("a/b", b""), lambda: root.get("a/b"), lambda: root.delete(["a/b"])):
            with pytest.raises(DataError, match=r"data/a/b cannot be (written|read|deleted): Permission denied") as caught:
                verb()
            assert "rights" in caught.value.hint
        with pytest.raises(DataError, match="cannot be listed"):
            list(root.list("a/"))


def test_a_file_where_the_root_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    root = DirectoryObjects(tmp_path / "data")
    with pytest.raises(DataError, match="data/a cannot be written: File exists"):
        root.put("a", b"")
    with pytest.raises(DataError, match="cannot be listed: Not a directory"):
        list(root.list("a/"))


def test_an_object_where_a_folder_should_be(tmp_path: Path) -> None:
    root = DirectoryObjects(tmp_path)
    root.put("a", b"")
    with pytest.raises(DataError, match="a/b cannot be written"):
        root.put("a/b", b"")
    assert root.get("a/b") is None


@pytest.mark.parametrize(("number", "hint"), [(errno.ENOSPC, "the disk is full"), (errno.EPERM, "hard links"), (errno.EIO, "[data] root")])
def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, hint: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    root = DirectoryObjects(tmp_path)
    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(DataError, match="a cannot be written") as caught:
        root.put("a", b"", new=True)
    assert hint in caught.value.hint
    assert files(tmp_path) == []


def test_foreign_names_are_no_objects(tmp_path: Path) -> None:
    root = DirectoryObjects(tmp_path)
    root.put("a/b", b"")
    for name in (b"a/new\nline", b"a/broken\xff", b".hidden"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    assert [found.key for found in root.list()] == ["a/b"]


def test_folders_go_and_come_while_others_write(tmp_path: Path) -> None:
    """Deleting the last object of a folder takes the folder away: whoever writes into it at that moment makes it again."""
    root = DirectoryObjects(tmp_path)
    failed: list[Exception] = []

    def write(name: str) -> None:
        try:
            for _ in range(300):
                root.put(f"a/b/{name}", b"x", new=True)
                root.delete([f"a/b/{name}"])
        except DataError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(f"{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
