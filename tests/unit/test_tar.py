"""Tar entries: the same bytes everywhere, and read as they were meant."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.image import tar
from builder.model.tree import EXECUTABLE, FILE, SYMLINK

names = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name and not name.endswith(b"/") and not name.startswith(b"/"))
HARD = [
    b"plain",
    b"with space",
    b"two\nlines",
    b"\xff\xfe not utf-8",
    "ähnlich".encode(),
    b"a/" + b"n" * 97,
    b"a/" + b"n" * 98,
    b"a/" + b"n" * 99,
    b"/".join([b"d" * 50] * 6),
    b"/".join([b"\xff" * 50] * 6),
    b"n" * 253 + b"\xc3\xa4",
    b"x\n" * 70,
]


def entry(path: bytes, mode: int = FILE, content: bytes = b"", target: bytes = b"") -> bytes:
    return tar.header(path, mode, len(content), target) + content + tar.padding(len(content))


def read(data: bytes) -> list[tuple[bytes, tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        found = []
        for member in archive:
            stream = archive.extractfile(member) if member.isreg() else None
            found.append((member.name.encode("utf-8", "surrogateescape"), member, stream.read() if stream else b""))
        return found


@settings(max_examples=100, deadline=None)
@given(names, st.sampled_from([FILE, EXECUTABLE]), st.binary(max_size=1100))
def test_a_file_is_read_back(path: bytes, mode: int, content: bytes) -> None:
    ((name, member, found),) = read(entry(path, mode, content) + tar.end())
    assert (name, found, member.mode) == (path, content, 0o755 if mode == EXECUTABLE else 0o644)


@settings(max_examples=100, deadline=None)
@given(names, names)
def test_a_link_is_read_back(path: bytes, target: bytes) -> None:
    ((name, member, _),) = read(tar.header(path, SYMLINK, 0, target) + tar.end())
    assert member.issym()
    assert (name, member.linkname.encode("utf-8", "surrogateescape")) == (path, target)


@pytest.mark.parametrize("path", HARD)
def test_names_that_hurt_do_not_disturb_what_follows(path: bytes) -> None:
    data = entry(path, FILE, b"1") + tar.header(path + b"L", SYMLINK, 0, path) + entry(b"after", EXECUTABLE, b"3")
    found = read(data + tar.end())
    assert [(name, content) for name, _, content in found] == [(path, b"1"), (path + b"L", b""), (b"after", b"3")]
    assert found[1][1].linkname.encode("utf-8", "surrogateescape") == path


@pytest.mark.parametrize("path", HARD)
def test_another_program_unpacks_them(path: bytes, tmp_path: Path) -> None:
    """GNU tar and Python do not share their mistakes."""
    subprocess.run(
        ["tar", "-xf", "-", "-C", str(tmp_path)],
        input=entry(path, EXECUTABLE, b"content") + tar.end(),
        check=True,
        stderr=subprocess.DEVNULL,
    )
    unpacked = Path(str(tmp_path)) / path.decode("utf-8", "surrogateescape")
    assert unpacked.read_bytes() == b"content"
    assert unpacked.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(("path", "blocks"), [(b"n" * 100, 1), (b"n" * 101, 3), (b"\xff" * 100, 1), (b"two\nlines", 1)])
def test_a_pax_header_only_when_needed(path: bytes, blocks: int) -> None:
    assert len(tar.header(path, FILE, 0)) == blocks * tar.BLOCK


def test_a_long_name_that_is_not_utf8_says_so() -> None:
    assert b" hdrcharset=BINARY\n" in tar.header(b"\xff" * 101, FILE, 0)
    assert b"hdrcharset" not in tar.header("ä".encode() * 60, FILE, 0)


def test_lengths_count_their_own_digits() -> None:
    """`99 path=` has two digits and `100 path=` three: the record that would be 99 long, and its neighbours."""
    for length in range(80, 1100):
        ((name, _, _),) = read(tar.header(b"p" * length, FILE, 0) + tar.end())
        assert len(name) == length


def test_a_file_of_more_than_8_gib_has_its_size_in_a_record() -> None:
    size = 8 << 30
    assert b"size=" not in tar.header(b"big", FILE, size - 1)
    head = tar.header(b"big", FILE, size)
    with tarfile.open(fileobj=io.BytesIO(head + tar.end()), mode="r|") as archive:
        member = archive.next()
    assert member is not None
    assert member.size == size


def test_nothing_but_path_mode_and_content_shows() -> None:
    ((_, member, _),) = read(entry(b"a") + tar.end())
    assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 315619200)
    assert tar.header(b"a", FILE, 5) == tar.header(b"a", FILE, 5)


def test_contents_fill_their_last_block() -> None:
    assert [len(tar.padding(size)) for size in (0, 1, 511, 512, 513)] == [0, 511, 1, 0, 511]
