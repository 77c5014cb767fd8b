"""Trees that hurt: whatever git can hold is in the image exactly as git has it, or is refused by name."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from builder.errors import SourceError
from builder.model.tree import EXECUTABLE, FILE
from tests.fixtures.images import ON_NOTHING, assert_exact, build, flatten
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, executable  # noqa: F401

LONG = "/".join(["directory" * 5] * 6)
NAMES = {
    "with space/and more": b"1",
    "two\nlines": b"2",
    b"not utf-8 \xff\xfe": b"3",
    "ümläut/日本語": b"4",
    "n" * 100: b"5",
    "n" * 101: b"6",
    "m" * 255: b"7",
    f"{LONG}/deep": b"8",
    LONG.encode() + b"/\xff": b"9",
    "-rf": b"10",
    " ": b"11",
    "*": b"12",
    '"quoted"': b"13",
    "back\\slash": b"14",
    "a\tb": b"15",
    "\x1b[31m": b"16",
    ".gitignore": b"*.py\n",
    "export/.gitattributes": b"* export-ignore\n*.txt export-subst ident eol=crlf\n",
    "export/a.txt": b"$Format:%H$ $Id$\r\n\n",
}
LINKS: dict[str, Any] = {
    "dangling": "no/such/file",
    "absolute": "/etc/passwd",
    "to directory": "with space",
    "up": "../../..",
    "self": "self",
    "not utf-8": (0o120000, b"\xff\n"),
    "long": (0o120000, b"t/" * 60),
    "very long": (0o120000, b"\xff/" * 200),
    f"{LONG}/link": "l" * 101,
}


def test_names(repository: Repository) -> None:
    repository.commit(NAMES)
    assert len(repository.files("main")) == len(NAMES)
    assert_exact(repository)


def test_links(repository: Repository) -> None:
    repository.commit({"with space/a": b"1", **LINKS})
    assert_exact(repository)


def test_executable_bits_and_empty_files(repository: Repository) -> None:
    repository.history({"a": executable(b""), "b": b"", "c": executable(b"x")}, {"a": b"", "b": executable(b"")})
    assert_exact(repository, "main~1")
    assert_exact(repository)


@pytest.mark.parametrize(
    "steps", [("link", "directory", "link"), ("directory", "link", "directory"), ("file", "directory", "link", "file")]
)
def test_a_path_that_changes_what_it_is(repository: Repository, steps: tuple[str, ...]) -> None:
    """Each image on top of the one before it: nothing of what the path was shows through."""
    kinds: dict[str, dict[str, Any]] = {"link": {"x": "other"}, "directory": {"x/a": b"1", "x/b/c": b"2"}, "file": {"x": b"3"}}
    gone: dict[str, dict[str, Any]] = {"link": {"x": None}, "directory": {"x/a": None, "x/b/c": None}, "file": {"x": None}}
    changes = [{"other/kept": b"0", **kinds[steps[0]]}]
    changes += [{**gone[before], **kinds[after]} for before, after in pairwise(steps)]
    commits, store = repository.history(*changes), MemoryStore()
    digests = [assert_exact(repository, commit, store=store) for commit in commits]
    assert digests == [assert_exact(repository, commit) for commit in commits]


def test_an_empty_tree(repository: Repository) -> None:
    repository.history({"a": b"1"}, {"a": None})
    image = build(repository.directory, MemoryStore(), "main")
    assert image.layers == ()
    assert_exact(repository)
    repository.commit({"b": b"2"})
    assert_exact(repository)


def test_contents_are_what_git_holds_and_not_what_it_would_check_out(repository: Repository) -> None:
    repository.commit(
        {
            ".gitattributes": b"* text=auto eol=crlf ident\n*.enc working-tree-encoding=UTF-16\n",
            "a": b"x\ny\n",
            "b": b"x\r\ny",
            "c": b"$Id$",
            "d.enc": b"text",
        }
    )
    repository.git("config", "core.autocrlf", "true")
    assert_exact(repository)


def test_identical_files_are_in_the_image_as_often_as_in_the_tree(repository: Repository) -> None:
    repository.commit({f"{directory}/{name}": b"same" for directory in "abcdefgh" for name in "abcdefgh"})
    assert_exact(repository)


@pytest.mark.parametrize("name", [".wh.gone", "a/.wh.b", "a/.wh..wh..opq", ".wh.dir/file"])
def test_names_that_delete_in_an_image_are_refused(repository: Repository, name: str) -> None:
    repository.commit({name: b"1", "fine.wh.": b"2"})
    with pytest.raises(SourceError, match="deletes a file") as caught:
        build(repository.directory, MemoryStore(), "main")
    assert name in caught.value.message
    assert f'exclude = ["/{name}"]' in caught.value.hint
    image = build(repository.directory, store := MemoryStore(), "main", replace(ON_NOTHING, exclude=(f"/{name}",)))
    assert flatten(store, image.digest) == {b"fine.wh.": (FILE, b"2")}


@pytest.mark.parametrize(("name", "what"), [("n" * 256, "255"), ("a/" + "ä" * 128, "255"), ("/".join(["d" * 200] * 21), "4095")])
def test_names_that_no_file_system_takes_are_refused(repository: Repository, name: str, what: str) -> None:
    repository.commit({name: b"1", "fine": b"2"})
    with pytest.raises(SourceError, match=what) as caught:
        build(repository.directory, MemoryStore(), "main")
    assert name[:50] in caught.value.message


@pytest.mark.parametrize(("target", "what"), [(b"", "nowhere"), (b"a\0b", "nowhere"), (b"x" * 4096, "4095")])
def test_links_that_no_file_system_takes_are_refused(repository: Repository, target: bytes, what: str) -> None:
    repository.commit({"dir/link": (0o120000, target), "fine": b"2"})
    with pytest.raises(SourceError, match=what) as caught:
        build(repository.directory, MemoryStore(), "main")
    assert "dir/link" in caught.value.message


@pytest.mark.parametrize("name", [b"..", b".", b".git", b"a/b"])
def test_hostile_trees_are_refused(repository: Repository, name: bytes) -> None:
    blob = repository.blob(b"evil")
    inner = repository.raw_tree((b"100644", name, blob))
    repository.commit_tree(repository.raw_tree((b"40000", b"innocent", inner)))
    with pytest.raises(SourceError, match="which no file can have"):
        build(repository.directory, MemoryStore(), "main")


def test_a_tree_with_a_name_twice_is_refused(repository: Repository) -> None:
    one, two = repository.blob(b"1"), repository.blob(b"2")
    repository.commit_tree(repository.raw_tree((b"100644", b"a", one), (b"100644", b"a", two)))
    with pytest.raises(SourceError, match="twice"):
        build(repository.directory, MemoryStore(), "main")


def test_a_link_and_a_file_below_it_cannot_be(repository: Repository) -> None:
    """As a tree could say it: `x` a link to /etc, and `x` a directory."""
    inner = repository.raw_tree((b"100644", b"passwd", repository.blob(b"evil")))
    repository.commit_tree(repository.raw_tree((b"120000", b"x", repository.blob(b"/etc")), (b"40000", b"x", inner)))
    with pytest.raises(SourceError, match="twice"):
        build(repository.directory, MemoryStore(), "main")


def test_old_modes_are_read_as_git_reads_them(repository: Repository) -> None:
    blob = repository.blob(b"1")
    tree = repository.raw_tree(
        (b"100664", b"a", blob), (b"100777", b"b", blob), (b"040000", b"c", repository.raw_tree((b"100600", b"d", blob)))
    )
    repository.commit_tree(tree)
    image = build(repository.directory, store := MemoryStore(), "main")
    assert flatten(store, image.digest) == {b"a": (FILE, b"1"), b"b": (EXECUTABLE, b"1"), b"c/d": (FILE, b"1")}


def test_a_missing_object_is_an_error_with_its_name(repository: Repository) -> None:
    repository.commit({"a": b"gone soon", "b": b"1"})
    oid = repository.text("rev-parse", "main:a")
    explode(repository)
    (repository.directory / ".git/objects" / oid[:2] / oid[2:]).unlink()
    with pytest.raises(SourceError, match=oid):
        build(repository.directory, MemoryStore(), "main")


def explode(repository: Repository) -> None:
    """Packs into loose objects, which can be removed one by one."""
    packs = repository.directory / ".git/objects/pack"
    for pack in list(packs.glob("*.pack")):
        aside = repository.directory / "aside.pack"
        pack.rename(aside)
        for index in packs.glob(f"{pack.stem}.*"):
            index.unlink()
        repository.git("unpack-objects", "-q", stdin=aside.read_bytes())
        aside.unlink()
