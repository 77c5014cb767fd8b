from __future__ import annotations

from pathlib import Path

from builder.cache import Cache, cache_root
from builder.model.oci import sha256


def test_what_is_put_is_got(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    assert cache.get(sha256(b"x")) is None
    cache.put(sha256(b"x"), b"x")
    assert cache.get(sha256(b"x")) == b"x"
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [sha256(b"x")[9:]]


def test_a_damaged_entry_is_none_and_is_written_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put(sha256(b"x"), b"x")
    next(path for path in tmp_path.rglob("*") if path.is_file()).write_bytes(b"y")
    assert cache.get(sha256(b"x")) is None
    cache.put(sha256(b"x"), b"x")
    assert cache.get(sha256(b"x")) == b"x"


def test_it_never_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file")
    cache.put(sha256(b"x"), b"x")
    assert cache.get(sha256(b"x")) is None
    assert cache.get("../../etc/passwd") is None
    cache.put("../outside", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_where_it_is() -> None:
    assert cache_root({"XDG_CACHE_HOME": "/c", "HOME": "/h"}) == Path("/c/builder")
    assert cache_root({"XDG_CACHE_HOME": "relative", "HOME": "/h"}) == Path("/h/.cache/builder")
    assert cache_root({"HOME": "/h"}) == Path("/h/.cache/builder")
