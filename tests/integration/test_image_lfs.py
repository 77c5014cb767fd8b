"""Git LFS: pointers as they are, or the content in their place."""

from __future__ import annotations

import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from builder.errors import SourceError
from builder.model.tree import FILE
from builder.source.repository import Git
from tests.fixtures.images import ON_NOTHING, build, code_layers, flatten
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, clone  # noqa: F401


def pointer(content: bytes) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(content).hexdigest()}\nsize {len(content)}\n".encode()


ATTRIBUTES = b"*.bin filter=lfs diff=lfs merge=lfs -text\n"


def test_pointers_stay_and_are_told(repository: Repository) -> None:
    repository.commit({".gitattributes": ATTRIBUTES, "w/a.bin": pointer(b"weights"), "b.py": b"1"})
    image = build(repository.directory, store := MemoryStore(), "main")
    assert image.pointers == ("w/a.bin",)
    assert flatten(store, image.digest) == repository.files("main")


def test_excluded_pointers_are_not_told(repository: Repository) -> None:
    repository.commit({".gitattributes": ATTRIBUTES, "w/a.bin": pointer(b"weights")})
    assert build(repository.directory, MemoryStore(), "main", replace(ON_NOTHING, exclude=("*.bin",))).pointers == ()


FETCH = replace(ON_NOTHING, lfs="fetch")


def keep_content(repository: Repository, content: bytes) -> None:
    from builder.image.lfs import content_path, parse

    found = parse(pointer(content))
    assert found is not None
    with Git.open(repository.directory) as git:
        path = content_path(git, found.oid)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_content_takes_the_place_of_pointers(repository: Repository) -> None:
    big = bytes(300_000)
    repository.history(
        {
            ".gitattributes": ATTRIBUTES,
            "w/a.bin": pointer(b"weights"),
            "w/big.bin": pointer(big),
            "w/plain.bin": b"no pointer",
            "b.py": b"1",
        },
        {"b.py": b"2"},
        {"w/a.bin": pointer(b"other")},
    )
    for content in (b"weights", b"other", big):
        keep_content(repository, content)
    store = MemoryStore()
    for revision, weights in (("main~2", b"weights"), ("main~1", b"weights"), ("main", b"other")):
        image = build(repository.directory, store, revision, FETCH)
        assert image.pointers == ()
        expected = repository.files(revision)
        expected |= {b"w/a.bin": (FILE, weights), b"w/big.bin": (FILE, big)}
        assert flatten(store, image.digest) == expected
        assert build(repository.directory, MemoryStore(), revision, FETCH).digest == image.digest


def test_content_that_nobody_has_is_named(repository: Repository) -> None:
    repository.commit({".gitattributes": ATTRIBUTES, "w/a.bin": pointer(b"lost")})
    with pytest.raises(SourceError, match="Git LFS object"):
        build(repository.directory, MemoryStore(), "main", FETCH)


def test_pointers_and_content_are_two_images(repository: Repository) -> None:
    repository.commit({".gitattributes": ATTRIBUTES, "w/a.bin": pointer(b"weights")})
    keep_content(repository, b"weights")
    store = MemoryStore()
    plain = build(repository.directory, store, "main").digest
    assert build(repository.directory, store, "main", FETCH).digest != plain
    assert len(code_layers(build(repository.directory, store, "main", FETCH))) == 1


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
@pytest.mark.parametrize("options", [(), ("--filter=blob:none",), ("--bare",)])
def test_content_is_fetched_from_the_remote(repository: Repository, tmp_path: Path, options: tuple[str, ...]) -> None:
    """Through git-lfs itself, which copies from a remote on the same disk."""
    repository.commit({".gitattributes": ATTRIBUTES, "w/a.bin": pointer(b"weights"), "w/c d.bin": pointer(b"more"), "b.py": b"1"})
    for content in (b"weights", b"more"):
        keep_content(repository, content)
    poor = clone(repository, tmp_path / "poor", "--no-checkout", *options)
    image = build(poor.directory, store := MemoryStore(), "main", FETCH)
    found = flatten(store, image.digest)
    assert (found[b"w/a.bin"], found[b"w/c d.bin"]) == ((FILE, b"weights"), (FILE, b"more"))
    assert image.digest == build(repository.directory, MemoryStore(), "main", FETCH).digest


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
@pytest.mark.parametrize("name", ["a,b.bin", "[x].bin", "a*.bin", "back\\slash.bin", " .bin"])
def test_names_that_git_lfs_takes_for_patterns(repository: Repository, tmp_path: Path, name: str) -> None:
    repository.commit({".gitattributes": ATTRIBUTES, name: pointer(b"weights")})
    keep_content(repository, b"weights")
    poor = clone(repository, tmp_path / "poor", "--no-checkout")
    image = build(poor.directory, store := MemoryStore(), "main", FETCH)
    assert flatten(store, image.digest)[name.encode()] == (FILE, b"weights")


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
def test_content_that_the_remote_lacks_is_named(repository: Repository, tmp_path: Path) -> None:
    repository.commit({".gitattributes": ATTRIBUTES, "w/a.bin": pointer(b"weights")})
    poor = clone(repository, tmp_path / "poor", "--no-checkout")
    with pytest.raises(SourceError, match="Git LFS object"):
        build(poor.directory, MemoryStore(), "main", FETCH)
