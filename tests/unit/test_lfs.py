"""Git LFS: which files of a tree it holds, and what a pointer says. Git itself is asked what its attributes mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.image import lfs
from builder.image.lfs import Pointer
from builder.source.repository import Git
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home  # noqa: F401

OID = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12345\n".encode()


def test_a_pointer_is_read() -> None:
    assert lfs.parse(POINTER) == Pointer(OID, 12345)
    extended = POINTER.replace(b"oid", b"ext-0-foo sha256:%s\noid" % (b"a" * 64), 1)
    assert lfs.parse(extended) == Pointer(OID, 12345)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        POINTER[:-1],
        POINTER + b"more\n",
        POINTER.replace(b"sha256", b"md5"),
        POINTER.replace(b"12345", b"-1"),
        b"x" + POINTER,
        POINTER + bytes(2000),
        bytes(2000),
    ],
)
def test_anything_else_is_content(data: bytes) -> None:
    assert lfs.parse(data) is None


ATTRIBUTES = [
    {".gitattributes": b"*.bin filter=lfs diff=lfs merge=lfs -text\n"},
    {".gitattributes": b"/*.bin filter=lfs\n"},
    {".gitattributes": b"data/** filter=lfs\n"},
    {".gitattributes": b"*.bin filter=lfs\nkeep.bin -filter\n"},
    {".gitattributes": b"*.bin filter=lfs\nkeep.bin !filter\n"},
    {".gitattributes": b"*.bin filter=lfs\nkeep.bin filter=other\n"},
    {".gitattributes": b"keep.bin -filter\n*.bin filter=lfs\n"},
    {".gitattributes": b"two[[:space:]]words.bin filter=lfs diff=lfs merge=lfs -text\n"},
    {".gitattributes": b'"two words.bin" filter=lfs\n'},
    {".gitattributes": b"# *.bin filter=lfs\n\n   \n*.pt\tfilter=lfs\r\n"},
    {".gitattributes": b"!*.bin filter=lfs\n[[:digit:]]x filter=lfs\nx**b filter=lfs\n*.pt filter=lfs\n"},
    {".gitattributes": b"*.bin text\n"},
    {".gitattributes": b"*.bin\n"},
    {"data/.gitattributes": b"*.bin filter=lfs\n"},
    {"data/.gitattributes": b"/deep/*.bin filter=lfs\n"},
    {"data/.gitattributes": b"deep/keep.bin filter=lfs\n"},
    {".gitattributes": b"*.bin filter=lfs\n", "data/.gitattributes": b"*.bin -filter\n", "data/deep/.gitattributes": b"*.bin filter=lfs\n"},
    {"-first/.gitattributes": b"*.bin -filter\n", ".gitattributes": b"*.bin filter=lfs\n"},
    {".gitattributes": b"*.bin filter=lfs filter=other\n*.pt filter=other filter=lfs\n"},
]
FILES = [
    "a.bin",
    "keep.bin",
    "model.pt",
    "two words.bin",
    "data/a.bin",
    "data/keep.bin",
    "data/deep/keep.bin",
    "data/deep/x.txt",
    "-first/a.bin",
    "ab",
]


@pytest.mark.parametrize("attributes", ATTRIBUTES, ids=range(len(ATTRIBUTES)))
def test_git_agrees_which_files_it_holds(attributes: dict[str, bytes], repository: Repository) -> None:
    repository.commit(dict.fromkeys(FILES, b"content") | attributes)
    repository.check_out()
    asked = "\0".join(FILES).encode()
    said = repository.git("check-attr", "-z", "--stdin", "filter", stdin=asked).decode().split("\0")[:-1]
    held = {path for path, value in zip(said[::3], said[2::3], strict=True) if value == "lfs"}
    with Git.open(repository.directory) as git:
        entries = git.entries(git.resolve("HEAD"))
        assert {entry.path.decode() for entry in lfs.tracked_files(git, lfs.attribute_files(entries), entries)} == held


def test_content_is_where_git_lfs_keeps_it(repository: Repository) -> None:
    with Git.open(repository.directory) as git:
        assert lfs.content_path(git, OID) == Path(repository.directory, ".git/lfs/objects/4d/7a", OID)
