"""A file is replaced whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.files import write_whole


def test_a_new_file_and_its_directory_are_made(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b", b"x")
    (tmp_path / "plain").touch()
    assert (tmp_path / "a" / "b").read_bytes() == b"x"
    assert (tmp_path / "a" / "b").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_file_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    (tmp_path / "f").touch(0o640)
    (tmp_path / "f").chmod(0o640)
    write_whole(tmp_path / "f", b"x")
    assert ((tmp_path / "f").read_bytes(), (tmp_path / "f").stat().st_mode & 0o777) == (b"x", 0o640)


def test_when_it_fails_the_old_one_is_there_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    (tmp_path / "f").write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "f", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("f", b"old")]
