"""Tree objects, honest and hostile."""

from __future__ import annotations

import pytest

from builder.errors import SourceError
from builder.model.tree import DIRECTORY, EXECUTABLE, FILE, SUBMODULE, SYMLINK
from builder.source.trees import Item, parse_tree

OID = "12" * 20


def tree(*items: tuple[bytes, bytes]) -> bytes:
    return b"".join(mode + b" " + name + b"\0" + bytes.fromhex(OID) for mode, name in items)


def parse(data: bytes) -> list[Item]:
    return list(parse_tree(data, "ab" * 20))


def test_every_kind_of_entry() -> None:
    kinds = [(b"100644", FILE), (b"100755", EXECUTABLE), (b"120000", SYMLINK), (b"40000", DIRECTORY), (b"160000", SUBMODULE)]
    for spelled, mode in kinds:
        assert parse(tree((spelled, b"name"))) == [(b"name", mode, OID)]


@pytest.mark.parametrize(("spelled", "mode"), [(b"100664", FILE), (b"100600", FILE), (b"100775", EXECUTABLE), (b"040000", DIRECTORY)])
def test_modes_that_old_tools_wrote_mean_what_git_takes_them_for(spelled: bytes, mode: int) -> None:
    assert parse(tree((spelled, b"name"))) == [(b"name", mode, OID)]


@pytest.mark.parametrize("name", [b"with space", b"two\nlines", b"\xff", b"...", b".gitignore", b".git2", b"..a", b"-", b"n" * 4000])
def test_odd_names_are_names(name: bytes) -> None:
    assert parse(tree((b"100644", name))) == [(name, FILE, OID)]


def test_digits_and_bytes_of_oids_are_not_taken_for_the_next_entry() -> None:
    """An oid may hold a zero byte, a space or what looks like a mode."""
    raw = b"100644 a\x00100644 b".ljust(20, b"\0")[:20]
    assert parse(b"100644 x\0" + raw + tree((b"100755", b"y"))) == [(b"x", FILE, raw.hex()), (b"y", EXECUTABLE, OID)]


@pytest.mark.parametrize("name", [b"..", b".", b".git", b"a/b", b"/", b"../../etc/passwd", b"/etc/passwd"])
@pytest.mark.parametrize("mode", [b"100644", b"40000", b"120000"])
def test_names_that_would_leave_the_tree_are_refused(name: bytes, mode: bytes) -> None:
    with pytest.raises(SourceError, match="which no file can have") as caught:
        parse(tree((mode, name)))
    assert repr(name) in caught.value.message
    assert "fsck" in caught.value.hint


@pytest.mark.parametrize("names", [(b"b", b"a"), (b"a", b"a"), (b"a", b"a.b", b"a/"), (b"a/", b"a.b")])
def test_names_out_of_order_or_twice_are_refused(names: tuple[bytes, ...]) -> None:
    """Git compares a directory's name as if it ended in a slash. What comes after relies on the order."""
    with pytest.raises(SourceError, match=r"order|twice"):
        parse(tree(*((b"40000" if name.endswith(b"/") else b"100644", name.rstrip(b"/")) for name in names)))


def test_the_order_of_git_is_fine() -> None:
    assert len(parse(tree((b"100644", b"a-b"), (b"100644", b"a.b"), (b"40000", b"a"), (b"100644", b"a0"), (b"100644", b"b")))) == 5


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"100644 a\0short",
        b"100644 \0" + bytes(20),
        b" a\0" + bytes(20),
        b"999999 a\0" + bytes(20),
        b"100644 a\0" + bytes(20) + b"\n",
        b"60000 a\0" + bytes(20),
    ],
)
def test_what_is_no_tree_is_an_error(data: bytes) -> None:
    with pytest.raises(SourceError, match="abababab"):
        parse(data)


def test_an_empty_tree_has_no_entries() -> None:
    assert parse(b"") == []
