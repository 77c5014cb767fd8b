"""Frozen checkpoints, in every kind of data root."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder.data import checkpoints
from builder.data.checkpoints import Frozen, check, freeze, materialise, read_checkpoint
from builder.data.interface import Objects
from builder.errors import DataError, IntegrityError
from tests.fixtures.roots import KINDS, Recording, made_root

DIGEST = "sha256:8ccbf54225274c4cbe72627cd1a467a35f21ffc958b2cefd206b10e613a6dd00"


@pytest.fixture(params=KINDS)
def root(request: pytest.FixtureRequest) -> Iterator[Objects]:
    with made_root(request.param, request) as made:
        yield made


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return make(tmp_path / "checkpoint")


def make(directory: Path) -> Path:
    (directory / "shards").mkdir(parents=True)
    (directory / "empty/inside").mkdir(parents=True)
    (directory / "config.json").write_text('{"layers": 2}')
    (directory / "shards/0.bin").write_bytes(b"weights" * 1000)
    (directory / "shards/same.bin").write_bytes(b"weights" * 1000)
    (directory / "shards/nothing").touch()
    (directory / "run ä.sh").write_text("#!/bin/sh\n")
    (directory / "run ä.sh").chmod(0o755)
    (directory / "last").symlink_to("shards/0.bin")
    (directory / "shards/up").symlink_to("../config.json")
    (directory / "all").symlink_to("shards")
    (directory / "nowhere").symlink_to("shards/missing")
    return directory


def content(directory: Path) -> dict[str, tuple[bool, bytes]]:
    """Path -> whether it is executable, and its bytes or where it leads."""
    return {
        str(path.relative_to(directory)): (False, os.fsencode(path.readlink()))
        if path.is_symlink()
        else (os.access(path, os.X_OK), path.read_bytes())
        for path in directory.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def keys(root: Objects, prefix: str = "") -> list[str]:
    return sorted(found.key for found in root.list(prefix))


def blob(data: bytes) -> str:
    found = hashlib.sha256(data).hexdigest()
    return f"blobs/sha256/{found[:2]}/{found}"


def test_a_checkpoint_comes_back_as_it_was(root: Objects, checkpoint: Path, tmp_path: Path) -> None:
    frozen = freeze(root, checkpoint)
    assert frozen == Frozen(DIGEST, 5, 14023)
    materialise(root, frozen.digest, tmp_path / "deep/copy")
    assert content(tmp_path / "deep/copy") == content(checkpoint)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["copy"]
    expected = [blob(data) for data in (b'{"layers": 2}', b"weights" * 1000, b"", b"#!/bin/sh\n")]
    assert keys(root) == sorted([*expected, f"checkpoints/{DIGEST[7:]}.json"])


def test_freezing_twice_is_one_copy_and_writes_no_file(root: Objects, checkpoint: Path, tmp_path: Path) -> None:
    first = freeze(root, checkpoint)
    again = Recording(root)
    assert freeze(again, make(tmp_path / "elsewhere")) == first
    assert again.calls == ["put", "find", "get"] + ["find"] * 4 + ["put", "delete"], "it is announced, and marked as made now"


def test_what_two_checkpoints_share_is_kept_once(root: Objects, checkpoint: Path) -> None:
    freeze(root, checkpoint)
    before = keys(root, "blobs/")
    (checkpoint / "config.json").write_text('{"layers": 3}')
    other = Recording(root)
    assert freeze(other, checkpoint).digest != DIGEST
    assert sorted({*keys(root, "blobs/")} - {*before}) == [blob(b'{"layers": 3}')]
    assert len(keys(root, "checkpoints/")) == 2


def test_a_second_copy_is_only_verified(root: Objects, checkpoint: Path, tmp_path: Path) -> None:
    freeze(root, checkpoint)
    (tmp_path / "copy").mkdir()
    materialise(root, DIGEST, tmp_path / "copy")
    again = Recording(root)
    materialise(again, DIGEST, tmp_path / "copy")
    assert again.calls == ["get"]
    (tmp_path / "copy/config.json").write_text("changed")
    with pytest.raises(DataError, match=r"copy is there, and it is not checkpoint .*: config\.json differs"):
        materialise(root, DIGEST, tmp_path / "copy")
    assert (tmp_path / "copy/config.json").read_text() == "changed"


def test_a_copy_does_not_lead_back_to_the_checkpoint(root: Objects, checkpoint: Path, tmp_path: Path) -> None:
    freeze(root, checkpoint)
    materialise(root, DIGEST, tmp_path / "one")
    for path in (tmp_path / "one").rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(b"changed by whoever got it")
    materialise(root, DIGEST, tmp_path / "two")
    assert content(tmp_path / "two") == content(checkpoint)


@pytest.mark.parametrize("many", [1, 1000])
def test_a_damaged_or_missing_file_is_named_and_nothing_is_handed_out(
    root: Objects, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(checkpoints, "_MANY", many)
    freeze(root, checkpoint)
    weights = blob(b"weights" * 1000)
    root.put(weights, b"weightS" * 1000)
    with pytest.raises(IntegrityError, match=rf"shards/(0|same)\.bin of checkpoint {DIGEST} is damaged") as caught:
        materialise(root, DIGEST, tmp_path / "copy")
    assert root.url(weights) in caught.value.hint
    root.delete([weights])
    with pytest.raises(IntegrityError, match=rf"shards/(0|same)\.bin of checkpoint {DIGEST} is missing"):
        materialise(root, DIGEST, tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) in (["checkpoint"], ["checkpoint", "root"])
    for lost in (lambda: root.delete([weights]), lambda: root.put(weights, b"half")):
        lost()
        with pytest.raises(IntegrityError, match="is missing: there is no whole"):
            check(root, DIGEST)
        assert freeze(root, checkpoint) == check(root, DIGEST)  # as the hints say
    materialise(root, DIGEST, tmp_path / "copy")


def test_a_damaged_manifest_is_seen_and_mended(root: Objects, checkpoint: Path, tmp_path: Path) -> None:
    freeze(root, checkpoint)
    root.put(f"checkpoints/{DIGEST[7:]}.json", b"")
    with pytest.raises(IntegrityError, match=r"\.json does not hash to its name"):
        materialise(root, DIGEST, tmp_path / "copy")
    assert freeze(root, checkpoint).digest == DIGEST
    materialise(root, DIGEST, tmp_path / "copy")


def test_a_checkpoint_that_is_not_there(root: Objects, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"there is no checkpoint {DIGEST} in"):
        read_checkpoint(root, DIGEST)
    for text in ("", "../../x", "sha256:12", DIGEST.upper()):
        with pytest.raises(DataError, match="is no checkpoint's digest"):
            materialise(root, text, tmp_path / "copy")


@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere_and_frozen_again_it_is_the_same(root: Objects, checkpoint: Path, tmp_path: Path, after: bool) -> None:
    whole = Recording(root)
    freeze(whole, checkpoint)
    materialise(root, DIGEST, tmp_path / "whole")
    last = len(whole.calls) - 1  # the one after it takes the announcement back: when that fails nobody is harmed
    for number in range(1, last + 1):
        root.delete(keys(root))
        with pytest.raises(DataError, match="call"):
            freeze(Recording(root, number, after=after), checkpoint)
        if after and number == last:
            assert keys(root, "checkpoints/")  # only the answer was lost
        else:
            assert not keys(root, "checkpoints/")
        assert freeze(root, checkpoint).digest == DIGEST
        materialise(root, DIGEST, tmp_path / f"copy-{number}")
        assert content(tmp_path / f"copy-{number}") == content(checkpoint)


def test_killed_anywhere_a_copy_is_not_there(root: Objects, checkpoint: Path, tmp_path: Path) -> None:
    freeze(root, checkpoint)
    whole = Recording(root)
    materialise(whole, DIGEST, tmp_path / "whole")
    for number in range(1, len(whole.calls) + 1):
        with pytest.raises(DataError, match="call"):
            materialise(Recording(root, number), DIGEST, tmp_path / "copies/copy")
        assert not (tmp_path / "copies").exists() or not list((tmp_path / "copies").iterdir())
    materialise(root, DIGEST, tmp_path / "copies/copy")


def test_two_who_freeze_at_once(root: Objects, tmp_path: Path) -> None:
    made = [make(tmp_path / f"{number}") for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert {frozen.digest for frozen in pool.map(lambda directory: freeze(root, directory), made)} == {DIGEST}
    assert len([key for key in keys(root) if not key.startswith("gc/made/")]) == 5
    materialise(root, DIGEST, tmp_path / "copy")


def test_two_who_want_it_at_the_same_place(root: Objects, checkpoint: Path, tmp_path: Path) -> None:
    freeze(root, checkpoint)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: materialise(root, DIGEST, tmp_path / "deep/copy"), range(4)))
    assert content(tmp_path / "deep/copy") == content(checkpoint)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["copy"]
