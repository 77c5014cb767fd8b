"""Git LFS: which files are told to be pointers, where their content comes from, and that it is what they name."""

from __future__ import annotations

import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from builder.errors import IntegrityError, SourceError
from builder.image.shards import LARGE
from builder.image.verify import verify_image
from builder.model.tree import FILE
from builder.source.remotes import preferred_remote
from builder.source.repository import Git
from tests.fixtures.images import ON_NOTHING, build, flatten
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, clone, numbered, submodule  # noqa: F401

ATTRIBUTES = b"*.bin filter=lfs diff=lfs merge=lfs -text\n"
FETCH = replace(ON_NOTHING, lfs="fetch")
with_git_lfs = pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")


def pointer(content: bytes) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(content).hexdigest()}\nsize {len(content)}\n".encode()


def kept(git_dir: Path, content: bytes) -> Path:
    """Where git-lfs keeps a content, which is put there."""
    oid = sha256(content).hexdigest()
    path = git_dir / "lfs/objects" / oid[:2] / oid[2:4] / oid
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def absent(repository: Repository) -> int:
    """How many objects of main a partial clone lacks."""
    return repository.git("rev-list", "--objects", "--no-object-names", "--missing=print", "main^{tree}").count(b"?")


@pytest.fixture
def weights(repository: Repository) -> Path:
    """A commit with one pointer; the file that holds its content."""
    repository.commit({".gitattributes": ATTRIBUTES, "w/a.bin": pointer(b"weights"), "b.py": b"1"})
    return kept(repository.directory / ".git", b"weights")


# --- which ----------------------------------------------------------------------------------------------------------------------------


def test_attributes_decide_even_when_they_are_left_out(repository: Repository, weights: Path) -> None:
    without = (".git*",)
    image = build(repository.directory, store := MemoryStore(), "main", replace(FETCH, exclude=without))
    assert flatten(store, image.digest) == {b"w/a.bin": (FILE, b"weights"), b"b.py": (FILE, b"1")}
    assert build(repository.directory, MemoryStore(), "main", replace(ON_NOTHING, exclude=without)).pointers == ("w/a.bin",)


def test_attributes_that_are_left_out_are_fetched_with_the_rest(repository: Repository, weights: Path, tmp_path: Path) -> None:
    poor = clone(repository, tmp_path / "poor", "--filter=blob:none", "--no-checkout")
    trace = tmp_path / "trace"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_TRACE", str(trace))
        image = build(poor.directory, MemoryStore(), "main", replace(ON_NOTHING, exclude=(".git*",)))
    assert image.pointers == ("w/a.bin",)
    assert trace.read_text().count("built-in: git fetch") == 1


MIXED: dict[str, bytes | str] = {
    ".gitattributes": ATTRIBUTES,
    "real.bin": b"content",
    "short.bin": pointer(b"weights")[:-1],
    "large.bin": pointer(b"weights").ljust(LARGE, b"\n"),
    "link.bin": pointer(b"weights").decode(),
    "pointer.bin": pointer(b"weights"),
    "other.py": pointer(b"weights"),
}


def test_only_pointers_are_told(repository: Repository) -> None:
    commits, store = repository.history(MIXED, {"other.py": b"1"}, {"pointer.bin": b"content now"}), MemoryStore()
    assert [build(repository.directory, store, commit).pointers for commit in commits] == [("pointer.bin",), ("pointer.bin",), ()]


def test_with_content_none_is_told(repository: Repository) -> None:
    repository.commit({".gitattributes": ATTRIBUTES, "real.bin": b"content"})
    assert build(repository.directory, MemoryStore(), "main", FETCH).pointers == ()


def test_nothing_is_fetched_to_tell(repository: Repository, tmp_path: Path) -> None:
    repository.history({**MIXED, **numbered(400)}, {"src/file3/3.py": b"2"}, {"src/file3/b.bin": pointer(b"more")})
    store = MemoryStore()
    build(repository.directory, store, "main~2")
    poor = clone(repository, tmp_path / "poor", "--filter=blob:none", "--no-checkout")
    assert [build(poor.directory, store, revision).pointers for revision in ("main~1", "main")] == [(), ("src/file3/b.bin",)]
    assert absent(poor) > 300


# --- damage ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"weightz", b"weight", b"weights and more", b""])
def test_damaged_content_is_named(repository: Repository, weights: Path, content: bytes) -> None:
    weights.write_bytes(content)
    store = MemoryStore()
    with pytest.raises(IntegrityError, match=r"w/a\.bin: its Git LFS content is damaged") as caught:
        build(repository.directory, store, "main", FETCH)
    assert "git lfs fsck" in caught.value.hint
    assert store.tags == {}


def test_verify_does_not_trust_damaged_content(repository: Repository, weights: Path) -> None:
    image = build(repository.directory, store := MemoryStore(), "main", FETCH)
    weights.write_bytes(b"weightz")
    with Git.open(repository.directory) as git, pytest.raises(IntegrityError, match=r"w/a\.bin"):
        verify_image(git, store, git.resolve("main"), image.digest, FETCH)


# --- where from -----------------------------------------------------------------------------------------------------------------------


@with_git_lfs
def test_any_number_of_files_with_long_names(repository: Repository, tmp_path: Path) -> None:
    names = [f"{'directory' * 4}/{number:0100}.bin" for number in range(2500)]
    repository.commit({".gitattributes": ATTRIBUTES, **dict.fromkeys(names, pointer(b"weights"))})
    kept(repository.directory / ".git", b"weights")
    poor = clone(repository, tmp_path / "poor", "--no-checkout")
    image = build(poor.directory, store := MemoryStore(), "main", FETCH)
    assert flatten(store, image.digest)[names[-1].encode()] == (FILE, b"weights")


@with_git_lfs
def test_git_lfs_does_not_make_git_fetch_other_blobs(repository: Repository, tmp_path: Path) -> None:
    """Asked for a commit it looks at every blob of its tree, and git fetches each of them alone."""
    repository.history({".gitattributes": ATTRIBUTES, **numbered(400)}, {"src/file3/w.bin": pointer(b"weights")})
    kept(repository.directory / ".git", b"weights")
    store = MemoryStore()
    build(repository.directory, store, "main~1", FETCH)
    poor = clone(repository, tmp_path / "poor", "--filter=blob:none", "--no-checkout")
    image = build(poor.directory, store, "main", FETCH)
    assert flatten(store, image.digest)[b"src/file3/w.bin"] == (FILE, b"weights")
    assert absent(poor) > 300


@with_git_lfs
def test_content_comes_from_the_remote_that_has_it(repository: Repository, weights: Path, tmp_path: Path) -> None:
    """And not from the one that is first in the alphabet."""
    poor = clone(repository, tmp_path / "poor", "--no-checkout")
    poor.git("remote", "add", "a-fork", f"file://{Repository.make(tmp_path / 'fork').directory}")
    image = build(poor.directory, store := MemoryStore(), "main", FETCH)
    assert flatten(store, image.digest)[b"w/a.bin"] == (FILE, b"weights")


@with_git_lfs
def test_content_of_a_submodule_comes_from_its_own_remote(repository: Repository, tmp_path: Path) -> None:
    inner = Repository.make(tmp_path / "inner")
    sha = inner.commit({".gitattributes": ATTRIBUTES, "a.bin": pointer(b"inner")})
    kept(inner.directory / ".git", b"inner")
    modules = f'[submodule "lib"]\n\tpath = lib\n\turl = file://{inner.directory}\n'.encode()
    repository.commit({".gitmodules": modules, "lib": submodule(sha), "b.py": b"1"})
    repository.check_out().git("submodule", "--quiet", "update", "--init")
    image = build(repository.directory, store := MemoryStore(), "main", FETCH)
    assert flatten(store, image.digest)[b"lib/a.bin"] == (FILE, b"inner")


@pytest.mark.parametrize(
    ("remotes", "followed", "expected"),
    [
        (("a-fork", "origin"), "", "origin"),
        (("a-fork", "origin", "upstream"), "upstream", "upstream"),
        (("a-fork", "origin"), "gone", "origin"),
        (("upstream",), "", "upstream"),
        (("a-fork", "b-fork"), "b-fork", "b-fork"),
    ],
)
def test_which_remote_is_asked(repository: Repository, remotes: tuple[str, ...], followed: str, expected: str) -> None:
    repository.commit({"a": b"1"})
    for name in remotes:
        repository.git("remote", "add", name, "file:///nowhere")
    if followed:
        repository.git("config", "branch.main.remote", followed)
    with Git.open(repository.directory) as git:
        assert preferred_remote(git) == expected


@pytest.mark.parametrize(("remotes", "said"), [((), "has no remote"), (("a", "b"), "has the remotes a, b, and nothing says which")])
def test_no_telling_which_remote(repository: Repository, remotes: tuple[str, ...], said: str) -> None:
    repository.commit({".gitattributes": ATTRIBUTES, "a.bin": pointer(b"weights")})
    for name in remotes:
        repository.git("remote", "add", name, "file:///nowhere")
    with pytest.raises(SourceError, match=f"1 Git LFS objects of .* cannot be fetched:\n.*{said}"):
        build(repository.directory, MemoryStore(), "main", FETCH)
