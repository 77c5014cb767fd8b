"""What every data root must do, whatever is behind it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder.data.interface import Objects
from builder.errors import DataError, IntegrityError
from tests.fixtures.roots import KINDS, made_root

HOSTILE = [
    "",
    "/a",
    "a/",
    "a//b",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    ".",
    ".tmp/a",
    "a\nb",
    "a\0b",
    "a\x7f",
    "a\udc80",
    "x" * 256,
    "y/" * 600 + "y",
]
ODD = ["a b", "a+b", "a%20b", "ä/ö", "q?x=1&y#z", "it's", '"quoted"', "a=b;c,d", "~a", "a\\b", "x/.hidden", "日本", "a" * 255]


@pytest.fixture(params=KINDS)
def root(request: pytest.FixtureRequest) -> Iterator[Objects]:
    with made_root(request.param, request) as made:
        yield made


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def local(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def keys(root: Objects, prefix: str = "") -> list[str]:
    return sorted(found.key for found in root.list(prefix))


def test_an_empty_root_has_nothing(root: Objects, tmp_path: Path) -> None:
    assert root.get("a/b") is None
    assert keys(root) == keys(root, "a/") == []
    assert root.fetch_file("a/b", tmp_path / "got", sha256(b"")) is False
    assert not (tmp_path / "got").exists()
    root.delete(["a/b", "c"])


@pytest.mark.parametrize("data", [b"", b"text\n", bytes(range(256)) * 4000])
def test_what_is_put_is_got(root: Objects, data: bytes) -> None:
    assert root.put("a/b", data) is True
    assert root.get("a/b") == data


def test_a_second_put_replaces(root: Objects) -> None:
    root.put("a", b"a long one")
    assert root.put("a", b"short") is True
    assert root.get("a") == b"short"


def test_new_leaves_what_is_there(root: Objects) -> None:
    assert root.put("a/b", b"1", new=True) is True
    assert root.put("a/b", b"2", new=True) is root.put("a/b", b"1", new=True) is False
    assert root.get("a/b") == b"1"
    assert root.put("a/b", b"3") is True
    assert root.get("a/b") == b"3"
    root.delete(["a/b"])
    assert root.put("a/b", b"4", new=True) is True


def test_a_list_is_what_begins_with_the_prefix(root: Objects) -> None:
    before = time.time()
    for key in ("run/a/1", "run/a/22", "run/ab/1", "run-1", "other/run/a"):
        root.put(key, key.encode())
    assert keys(root) == ["other/run/a", "run-1", "run/a/1", "run/a/22", "run/ab/1"]
    assert keys(root, "run/a/") == ["run/a/1", "run/a/22"]
    assert keys(root, "run/a") == ["run/a/1", "run/a/22", "run/ab/1"]
    assert keys(root, "run") == ["run-1", "run/a/1", "run/a/22", "run/ab/1"]
    assert keys(root, "run/a/1") == ["run/a/1"]
    assert keys(root, "nothing/") == keys(root, "run/a/1/x") == []
    for found in root.list("run"):
        assert found.size == len(found.key)
        assert before - 2 < found.modified < time.time() + 2


def test_folders_are_what_goes_on_after_the_prefix(root: Objects) -> None:
    assert list(root.folders()) == list(root.folders("run/")) == []
    for key in (
        "run/a/1",
        "run/a/b/22",
        "run/ab/1",
        "run/c",
        "run-1",
        "other/run/a",
        *(f"odd/{name}/x" for name in ODD if "/" not in name),
    ):
        root.put(key, b"")
    assert sorted(root.folders()) == ["odd", "other", "run"]
    assert sorted(root.folders("run/")) == ["a", "ab"]
    assert sorted(root.folders("run/a/")) == ["b"]
    assert list(root.folders("run/c/")) == list(root.folders("nothing/")) == []
    assert sorted(root.folders("odd/")) == sorted(name for name in ODD if "/" not in name)


def test_an_object_is_found_by_its_key(root: Objects) -> None:
    root.put("a/b", b"text")
    (listed,) = root.list()
    found = root.find("a/b")
    assert found == listed
    assert found.size == 4
    assert root.find("a") is root.find("b") is root.find("a/b/c") is None


def test_deleted_is_gone(root: Objects) -> None:
    for key in ("a/b/c", "a/d", "e"):
        root.put(key, b"x")
    root.delete(iter(["a/b/c", "e", "nothing"]))
    assert keys(root) == ["a/d"]
    assert root.get("a/b/c") is None
    root.delete([])


def test_more_than_fit_into_one_answer(root: Objects) -> None:
    wanted = [f"many/{number:04}" for number in range(1030)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: root.put(key, b""), wanted))
    assert keys(root, "many/") == wanted
    root.delete(wanted)
    assert keys(root) == []


@pytest.mark.parametrize("size", [0, 5, 3_000_000, (64 << 20) + 12_345])
def test_a_file_comes_back_as_it_was(root: Objects, tmp_path: Path, size: int) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    source = local(tmp_path / "source", data)
    assert root.put_file("blobs/x", source, sha256(data), new=True) is True
    assert root.put_file("blobs/x", source, sha256(data), new=True) is False
    assert [found.size for found in root.list("blobs/")] == [size]
    target = local(tmp_path / "target", b"what was there")
    assert root.fetch_file("blobs/x", target, sha256(data)) is True
    assert target.read_bytes() == data
    assert root.put_file("blobs/x", local(source, b"another"), sha256(b"another")) is True
    assert root.get("blobs/x") == b"another"


@pytest.mark.parametrize("size", [1000, (64 << 20) + 12_345])
@pytest.mark.parametrize("new", [True, False])
def test_a_file_that_is_another_is_refused_and_nothing_is_left(root: Objects, tmp_path: Path, size: int, new: bool) -> None:
    source = local(tmp_path / "source", b"x" * size)
    with pytest.raises(IntegrityError, match="source does not hash to"):
        root.put_file("a/b", source, sha256(b"expected"), new=new)
    assert keys(root) == []
    assert root.put_file("a/b", source, sha256(b"x" * size), new=new) is True


@pytest.mark.parametrize("size", [1000, (64 << 20) + 12_345])
def test_an_object_that_is_another_is_not_handed_out(root: Objects, tmp_path: Path, size: int) -> None:
    root.put_file("a/b", local(tmp_path / "source", b"x" * size), sha256(b"x" * size))
    target = local(tmp_path / "target", b"what was there")
    with pytest.raises(IntegrityError, match="a/b does not hash to"):
        root.fetch_file("a/b", target, sha256(b"expected"))
    assert target.read_bytes() == b"what was there"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["source", "target"]


def test_local_files_that_cannot_be_used_are_named(root: Objects, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing cannot be read"):
        root.put_file("a", tmp_path / "missing", sha256(b""))
    root.put("a", b"")
    with pytest.raises(DataError, match="target cannot be written"):
        root.fetch_file("a", tmp_path / "no/target", sha256(b""))


VERBS: dict[str, Callable[[Objects, str, Path], object]] = {
    "get": lambda root, key, _: root.get(key),
    "put": lambda root, key, _: root.put(key, b""),
    "put new": lambda root, key, _: root.put(key, b"", new=True),
    "put_file": lambda root, key, path: root.put_file(key, path, sha256(b"")),
    "fetch_file": lambda root, key, path: root.fetch_file(key, path, sha256(b"")),
    "find": lambda root, key, _: root.find(key),
    "list": lambda root, key, _: list(root.list(key)) if key not in ("", "a/") else root.get(key),
    "delete": lambda root, key, _: root.delete([key]),
    "url": lambda root, key, _: root.url(key),
}


def test_hostile_keys_are_refused_by_every_verb(root: Objects, tmp_path: Path) -> None:
    for key in HOSTILE:
        for verb in VERBS.values():
            with pytest.raises(DataError, match="cannot be the key"):
                verb(root, key, local(tmp_path / "file", b""))


def test_odd_keys_are_as_good_as_others(root: Objects, tmp_path: Path) -> None:
    for key in ODD:
        assert root.put(key, key.encode(), new=True) is True
        assert root.get(key) == key.encode()
        assert keys(root, key) == [key]
    assert keys(root) == sorted(ODD)
    root.delete(ODD)
    assert keys(root) == []


def test_a_person_finds_an_object(root: Objects) -> None:
    root.put("runs/a b", b"")
    assert root.url("runs/a b") == f"{root.name}/runs/a b"


def test_of_many_new_writers_one_wins(root: Objects) -> None:
    for attempt in range(5):
        ready = threading.Barrier(8)

        def write(number: int, key: str = f"locks/{attempt}", ready: threading.Barrier = ready) -> bool:
            ready.wait()
            return root.put(key, b"%d" % number, new=True)

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(write, range(8)))
        assert won.count(True) == 1
        assert root.get(f"locks/{attempt}") == b"%d" % won.index(True)


def test_a_reader_sees_the_old_or_the_new(root: Objects) -> None:
    texts = [b"a" * 100_000, b"b" * 50_000]
    root.put("a", texts[0])
    ended = threading.Event()

    def write() -> None:
        for number in range(40):
            root.put("a", texts[number % 2])
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not ended.is_set():
        assert root.get("a") in texts
    writer.join()


def test_the_same_file_from_many(root: Objects, tmp_path: Path) -> None:
    data = b"x" * 2_000_000
    source = local(tmp_path / "source", data)
    with ThreadPoolExecutor(6) as pool:
        written = list(pool.map(lambda _: root.put_file("blobs/x", source, sha256(data), new=True), range(12)))
    assert written.count(True) == 1
    assert root.get("blobs/x") == data
