"""Files of the archive come back verified, or not at all; a record that somebody tampered with writes nothing anywhere."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.data import bring as module
from builder.data.bring import bring, object_key
from builder.data.directory import DirectoryObjects
from builder.data.interface import Objects
from builder.data.restore_list import list_key, read_list, write_list
from builder.errors import DataError, IntegrityError
from builder.model.oci import canonical_json, sha256
from builder.model.removed import Lost, Removed
from builder.model.tree import EXECUTABLE, SYMLINK
from tests.fixtures.roots import KINDS, made_root

COMMIT, WAS = "a" * 40, "b" * 40


@pytest.fixture(name="archive", params=KINDS)
def an_archive(request: pytest.FixtureRequest) -> Iterator[Objects]:
    with made_root(request.param, request) as root:
        yield root


@pytest.fixture(name="local")
def a_directory(tmp_path: Path) -> Objects:
    return DirectoryObjects(tmp_path / "root")


def keep(objects: Objects, path: str, content: bytes, **more: Any) -> Removed:
    file = Removed(path, hashlib.sha256(content).hexdigest(), len(content), **more)
    objects.put(object_key(file.sha256), content)
    return file


def files_below(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def test_files_links_and_executables(archive: Objects, tmp_path: Path) -> None:
    files = [keep(archive, "a/b/weights", b"w" * 5000), keep(archive, "run", b"#!", mode=EXECUTABLE)]
    files += [keep(archive, "a/link", b"b/weights", mode=SYMLINK), keep(archive, "caf\udce9", b"w" * 5000), keep(archive, "empty", b"")]
    top = tmp_path / "top"
    brought = bring(archive, files, top, tmp_path / "aside")
    assert set(brought.written) == set(files) and brought.there == ()
    assert (top / "a/link").is_symlink() and (top / "a/link").read_bytes() == b"w" * 5000
    assert os.access(top / "run", os.X_OK) and not os.access(top / "empty", os.X_OK)
    assert (top / "caf\udce9").read_bytes() == b"w" * 5000
    assert not (tmp_path / "aside").exists()
    again = bring(archive, files, top, tmp_path / "aside")
    assert again.written == () and set(again.there) == set(files)


def test_many_at_once_and_the_first_error_ends_it(local: Objects, tmp_path: Path) -> None:
    files = [keep(local, f"many/{number}", b"%d" % number) for number in range(200)]
    bring(local, files, tmp_path / "top", tmp_path / "aside")
    assert len(files_below(tmp_path / "top")) == 200
    missing = replace(files[0], path="gone", sha256="0" * 64)
    with pytest.raises(DataError, match="gone cannot be restored: there is no "):
        bring(local, [missing], tmp_path / "top", tmp_path / "aside")
    assert not (tmp_path / "top/gone").exists() and not (tmp_path / "aside").exists()


def test_a_damaged_object(archive: Objects, tmp_path: Path) -> None:
    good, bad = keep(archive, "good", b"good"), keep(archive, "bad", b"bad")
    archive.put(object_key(bad.sha256), b"dab")
    with pytest.raises(IntegrityError, match="bad cannot be restored"):
        bring(archive, [bad, good], tmp_path / "top", tmp_path / "aside")
    assert "bad" not in files_below(tmp_path / "top")
    archive.put(object_key(bad.sha256), b"bad")
    assert {file.path for file in bring(archive, [bad, good], tmp_path / "top", tmp_path / "aside").written} >= {"bad"}


def test_broken_off_it_goes_on(local: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [keep(local, f"many/{number}", b"%d" % number) for number in range(30)]
    real, counted = module._place, threading.Semaphore(10)

    def some(*arguments: Any, **more: Any) -> None:
        if not counted.acquire(blocking=False):
            raise KeyboardInterrupt
        real(*arguments, **more)

    monkeypatch.setattr(module, "_place", some)
    with pytest.raises(KeyboardInterrupt):
        bring(local, files, tmp_path / "top", tmp_path / "aside")
    monkeypatch.setattr(module, "_place", real)
    brought = bring(local, files, tmp_path / "top", tmp_path / "aside")
    assert (len(brought.there), len(brought.written)) == (10, 20)


def test_what_killed_ones_left_goes_after_a_day(local: Objects, tmp_path: Path) -> None:
    for name, age in (("old", 100_000), ("young", 10)):
        (tmp_path / "aside" / name).mkdir(parents=True)
        os.utime(tmp_path / "aside" / name, (time.time() - age,) * 2)
    bring(local, [keep(local, "a", b"a")], tmp_path / "top", tmp_path / "aside")
    assert [path.name for path in (tmp_path / "aside").iterdir()] == ["young"]


def test_too_little_room(local: Objects, tmp_path: Path) -> None:
    huge = replace(keep(local, "huge", b"h"), size=10**18)
    with pytest.raises(DataError, match=r"are to be written to .* are free there"):
        bring(local, [huge], tmp_path / "top", tmp_path / "aside")
    assert not (tmp_path / "top").exists()


def test_somebody_else_writes_meanwhile(local: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = keep(local, "a", b"mine")
    real = module._fetched

    def fetched(*arguments: Any) -> Path:
        (tmp_path / "top").mkdir(exist_ok=True)
        (tmp_path / "top/a").write_bytes(b"theirs")
        return real(*arguments)

    monkeypatch.setattr(module, "_fetched", fetched)
    with pytest.raises(DataError, match="written by somebody else meanwhile"):
        bring(local, [file], tmp_path / "top", tmp_path / "aside")
    assert (tmp_path / "top/a").read_bytes() == b"theirs"


@pytest.mark.parametrize("text", [b"nul\0", b""])
def test_a_link_that_is_none(local: Objects, tmp_path: Path, text: bytes) -> None:
    with pytest.raises((IntegrityError, DataError)):
        bring(local, [keep(local, "link", text, mode=SYMLINK)], tmp_path / "top", tmp_path / "aside")


def test_nothing_is_written_through_a_link_that_comes_along(local: Objects, tmp_path: Path) -> None:
    """A link and what would lie below it cannot be of one tree."""
    files = [keep(local, "a", str(tmp_path).encode(), mode=SYMLINK), keep(local, "a/escaped", b"x")]
    with pytest.raises(IntegrityError, match="lies below a file"):
        bring(local, files, tmp_path / "top", tmp_path / "aside")
    assert not (tmp_path / "escaped").exists()


def test_a_list_is_named_by_what_it_says(archive: Objects) -> None:
    lost = Lost(COMMIT, WAS, (Removed("a", "1" * 64, 3), Removed("caf\udce9", "2" * 64, 4, EXECUTABLE, lfs=True, pointer="3" * 64)))
    name = write_list(archive, lost)
    assert read_list(archive, name) == lost
    assert write_list(archive, lost) == name
    assert write_list(archive, replace(lost, files=lost.files[:1])) != name


def test_a_list_that_is_missing_or_damaged(archive: Objects) -> None:
    name = write_list(archive, Lost(COMMIT, WAS, (Removed("a", "1" * 64, 3),)))
    with pytest.raises(DataError, match="nothing says which files to restore"):
        read_list(archive, f"sha256:{'0' * 64}")
    with pytest.raises(DataError, match="names no list"):
        read_list(archive, "../../secret")
    archive.put(list_key(name), b"{}")
    with pytest.raises(IntegrityError, match="does not hash to its name"):
        read_list(archive, name)
    assert write_list(archive, Lost(COMMIT, WAS, (Removed("a", "1" * 64, 3),))) == name
    assert read_list(archive, name).files[0].path == "a"


GOOD = {"path": "a", "sha256": "1" * 64, "size": 3, "mode": "100644", "lfs": False, "pointer": ""}


@pytest.mark.parametrize(
    "files",
    [
        *(
            [{**GOOD, "path": path}]
            for path in ("../a", "/etc/passwd", "a/../../b", "a//b", "", ".", "a/", "a\0b", ".git/hooks/x", "s/.GIT/x")
        ),
        [{**GOOD, "path": 1}],
        [{**GOOD, "size": -1}],
        [{**GOOD, "size": True}],
        [{**GOOD, "sha256": "../../x"}],
        [{**GOOD, "mode": "160000"}],
        [{**GOOD, "mode": "755x"}],
        [{**GOOD, "more": 1}],
        [GOOD, GOOD],
        [GOOD, {**GOOD, "path": "a/b"}],
        [1],
        None,
    ],
    ids=str,
)
def test_a_hostile_list_is_refused(local: Objects, files: Any) -> None:
    data = canonical_json({"schema": 1, "commit": COMMIT, "was": WAS, "files": files})
    local.put(list_key(sha256(data)), data)
    with pytest.raises(IntegrityError):
        read_list(local, sha256(data))


def test_a_list_of_another_version(local: Objects) -> None:
    for data in (canonical_json({"schema": 2, "commit": COMMIT, "was": WAS, "files": []}), b"[]", b"\xff", json.dumps("x").encode()):
        local.put(list_key(sha256(data)), data)
        with pytest.raises(IntegrityError, match="is no list of files"):
            read_list(local, sha256(data))
