"""The working tree as a commit: exactly the files, the same name for the same files, and nothing touched."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from builder.errors import SourceError, UsageError
from builder.model.tree import EXECUTABLE, FILE, SYMLINK
from builder.source.repository import Git
from builder.source.snapshot import Snapshot, take_snapshot
from tests.fixtures.images import build, flatten
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, clone, submodule  # noqa: F401


@pytest.fixture
def tree(repository: Repository) -> Path:
    """A checked-out repository of three files."""
    repository.commit({"a.py": b"1\n", "b.py": b"2\n", "sub/c.py": b"3\n", ".gitignore": b"ignored/\n*.log\n"})
    return repository.check_out().directory


def snapshot(directory: Path, *include: str) -> Snapshot:
    with Git.open(directory) as git:
        return take_snapshot(git, include)


def state(directory: Path) -> tuple[bytes, int, bytes, bytes, bytes]:
    """What must stay as it is: the index (and its time), status, branches, every file."""
    made, index = Repository(directory), directory / ".git/index"
    status = made.git("-c", "core.fsmonitor=false", "status", "--porcelain=v2", "--ignored", GIT_OPTIONAL_LOCKS="0")
    return (
        index.read_bytes(),
        index.stat().st_mtime_ns,
        status,
        made.git("for-each-ref", "refs/heads", "refs/remotes", "HEAD"),
        made.git("stash", "list"),
    )


def test_a_clean_tree_is_head(repository: Repository, tree: Path) -> None:
    taken = snapshot(tree)
    assert taken.commit == taken.head
    assert (taken.branch, taken.describe()) == ("main", "main")
    assert repository.text("for-each-ref", "refs/builder") == ""


def test_everything_that_git_would_add(repository: Repository, tree: Path) -> None:
    (tree / "a.py").write_bytes(b"changed\n")
    (tree / "b.py").unlink()
    (tree / "new dir").mkdir()
    (tree / "new dir/new\nfile").write_bytes(b"new")
    (tree / "link").symlink_to("a.py")
    (tree / "sub/c.py").chmod(0o755)
    (tree / "ignored").mkdir()
    (tree / "ignored/x").write_bytes(b"no")
    (tree / "x.log").write_bytes(b"no")
    taken = snapshot(tree)
    assert repository.files(taken.commit.sha) == {
        b"a.py": (FILE, b"changed\n"),
        b"new dir/new\nfile": (FILE, b"new"),
        b"link": (SYMLINK, b"a.py"),
        b"sub/c.py": (EXECUTABLE, b"3\n"),
        b".gitignore": (FILE, b"ignored/\n*.log\n"),
    }
    assert taken.commit.parents == (taken.head.sha,)
    assert (taken.changed, taken.new) == (3, 2)
    assert taken.describe() == "main + 3 changed, 2 new files"


def test_nothing_is_touched(tree: Path) -> None:
    (tree / "a.py").write_bytes(b"staged\n")
    Repository(tree).git("add", "a.py")
    (tree / "a.py").write_bytes(b"changed again\n")
    (tree / "new").write_bytes(b"new")
    Repository(tree).git("rm", "--quiet", "--cached", "b.py")
    before = state(tree)
    taken = snapshot(tree)
    assert state(tree) == before
    assert Repository(tree).files(taken.commit.sha)[b"a.py"] == (FILE, b"changed again\n")
    assert b"b.py" in Repository(tree).files(taken.commit.sha)


def test_the_same_files_are_the_same_commit(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = clone(Repository(tree), tmp_path / "other")
    (tree / "new").write_bytes(b"new")
    first = snapshot(tree)
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Else")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "1999-01-01T00:00:00Z")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    other.git("config", "user.name", "Another")
    other.git("config", "i18n.commitEncoding", "latin1")
    (other.directory / "new").write_bytes(b"new")
    os.utime(other.directory / "new", (1, 1))
    other.git("add", "new")
    assert snapshot(other.directory).commit == snapshot(tree).commit == first.commit
    assert first.commit.date == first.head.date
    (tree / "new").write_bytes(b"other")
    assert snapshot(tree).commit.sha != first.commit.sha


def test_changes_in_the_second_of_the_last_commit_are_seen(tree: Path) -> None:
    """Git compares times of whole seconds, and looks again at files that are as new as the index: a copy of it must not be newer."""
    Repository(tree).git("config", "core.trustctime", "false")
    index, now = tree / ".git/index", int(time.time()) - 5
    os.utime(tree / "a.py", (now, now))
    Repository(tree).git("update-index", "--refresh")
    (tree / "a.py").write_bytes(b"9\n")  # as long as before
    os.utime(tree / "a.py", (now, now))
    os.utime(index, (now, now))
    assert Repository(tree).files(snapshot(tree).commit.sha)[b"a.py"] == (FILE, b"9\n")


def test_it_is_kept_from_garbage_collection(repository: Repository, tree: Path) -> None:
    (tree / "new").write_bytes(b"new")
    taken = snapshot(tree)
    repository.git("gc", "--quiet", "--prune=now")
    assert repository.files(taken.commit.sha)[b"new"] == (FILE, b"new")
    assert repository.text("for-each-ref", "--format=%(refname)") == f"refs/builder/wip/{taken.commit.sha[:12]}\nrefs/heads/main"


def test_from_a_subdirectory_and_a_worktree_it_is_the_whole_tree(repository: Repository, tree: Path, tmp_path: Path) -> None:
    (tree / "new").write_bytes(b"new")
    assert snapshot(tree / "sub").commit == snapshot(tree).commit
    repository.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    (tmp_path / "tree/new").write_bytes(b"new")
    taken = snapshot(tmp_path / "tree")
    assert (taken.commit.sha, taken.branch) == (snapshot(tree).commit.sha, "")
    assert taken.describe() == f"{taken.head.sha[:12]} + 1 new file"


def test_its_image_is_the_tree(tree: Path) -> None:
    (tree / "new").write_bytes(b"new")
    sha = snapshot(tree).commit.sha
    image = build(tree, store := MemoryStore(), sha)
    assert flatten(store, image.digest) == Repository(tree).files(sha)


def test_a_change_taken_back_by_the_filters_is_no_change(repository: Repository, tree: Path) -> None:
    repository.git("config", "core.autocrlf", "input")
    (tree / "a.py").write_bytes(b"1\r\n")
    assert snapshot(tree).commit == snapshot(tree).head


# --- what it stops at -----------------------------------------------------------------------------------------------------------------

SECRETS = [".env", ".env.local", "conf/.netrc", "id_rsa", "deep/id_ed25519", "server.pem", "tls.KEY", "credentials", "credentials.json"]
SECRETS += ["my-service-account.json", "kubeconfig", ".pypirc", ".git-credentials", "secrets.yaml", "client_secret_1.json", "a\nb.pem"]
FINE = [".env.example", "id_rsa.pub", "keys.py", "monkey", "environment.yml", "secretary.txt", "tokenizer.json", "credentials_test.py"]


@pytest.mark.parametrize("name", SECRETS)
def test_untracked_files_that_look_like_secrets_stop_it_by_name(tree: Path, name: str) -> None:
    (tree / name).parent.mkdir(exist_ok=True)
    (tree / name).write_bytes(b"s3cret")
    with pytest.raises(UsageError, match="looks like a secret") as caught:
        snapshot(tree)
    assert name in caught.value.message
    assert "s3cret" not in caught.value.message
    assert "--include" in caught.value.hint
    assert "refs/builder" not in Repository(tree).text("for-each-ref")


def test_harmless_ones_do_not(tree: Path) -> None:
    for name in FINE:
        (tree / name).write_bytes(b"1")
    assert snapshot(tree).new == len(FINE)


def test_untracked_files_over_10_mb_stop_it_by_name(tree: Path) -> None:
    for name, size in (("big.bin", 10_000_001), ("just.bin", 10_000_000)):
        with (tree / name).open("wb") as file:
            file.truncate(size)
    with pytest.raises(UsageError, match=r"big\.bin  \(10 MB\)") as caught:
        snapshot(tree)
    assert "just.bin" not in caught.value.message


def test_include_lets_them_in_and_only_those_that_match(tree: Path) -> None:
    (tree / "test.pem").write_bytes(b"1")
    (tree / "other.pem").write_bytes(b"2")
    with pytest.raises(UsageError, match=r"other\.pem") as caught:
        snapshot(tree, "test.*")
    assert "test.pem" not in caught.value.message
    assert snapshot(tree, "*.pem").new == 2


@pytest.mark.parametrize("glob", ["nope", "*.nope"])
def test_include_of_nothing_is_mistyped(tree: Path, glob: str) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        snapshot(tree, glob)
    assert snapshot(tree, "a.py", "*.py", "sub").new == 0


def test_tracked_and_ignored_ones_are_nobodys_business(repository: Repository, tree: Path) -> None:
    repository.commit({"tracked.pem": b"1"})
    repository.check_out()
    (tree / "tracked.pem").write_bytes(b"2")
    (tree / "ignored").mkdir()
    (tree / "ignored/id_rsa").write_bytes(b"1")
    assert set(repository.files(snapshot(tree).commit.sha)) == {b"a.py", b"b.py", b"sub/c.py", b".gitignore", b"tracked.pem"}


def test_many_are_counted(tree: Path) -> None:
    for number in range(30):
        (tree / f"{number}.pem").write_bytes(b"1")
    with pytest.raises(UsageError, match="and 10 more"):
        snapshot(tree)


def test_a_bare_repository_has_none(repository: Repository, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is bare"):
        snapshot(clone(repository, tmp_path / "bare", "--bare").directory)


def test_before_the_first_commit_there_is_no_head(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no commit yet"):
        snapshot(Repository.make(tmp_path / "fresh").directory)


def test_conflicts_are_named(repository: Repository, tree: Path) -> None:
    repository.git("branch", "side")
    repository.commit({"a.py": b"ours\n"})
    repository.commit({"a.py": b"theirs\n"}, branch="side")
    repository.check_out()
    with pytest.raises(AssertionError):
        repository.git("merge", "side")
    with pytest.raises(SourceError, match=r"a\.py has conflicts"):
        snapshot(tree)


def test_changes_inside_a_submodule_are_named(repository: Repository, tree: Path, tmp_path: Path) -> None:
    inner = Repository.make(tmp_path / "inner")
    sha = inner.commit({"lib.py": b"1\n"})
    modules = f'[submodule "lib"]\n\tpath = lib\n\turl = file://{inner.directory}\n'.encode()
    repository.commit({".gitmodules": modules, "lib": submodule(sha)})
    repository.check_out()
    repository.git("submodule", "--quiet", "update", "--init")
    assert snapshot(tree).commit == snapshot(tree).head
    (tree / "lib/lib.py").write_bytes(b"changed\n")
    with pytest.raises(SourceError, match="submodule lib has changes of its own"):
        snapshot(tree)


@pytest.mark.parametrize("lost", ["its clone", "its own directory"])
def test_a_submodule_whose_repository_is_gone_is_named(repository: Repository, tree: Path, tmp_path: Path, lost: str) -> None:
    inner = Repository.make(tmp_path / "inner")
    sha = inner.commit({"lib.py": b"1\n"})
    paths = ("lib", "an other")
    modules = "".join(f'[submodule "{path}"]\n\tpath = {path}\n\turl = file://{inner.directory}\n' for path in paths)
    repository.commit({".gitmodules": modules.encode(), **dict.fromkeys(paths, submodule(sha))})
    repository.check_out()
    repository.git("submodule", "--quiet", "update", "--init")
    if lost == "its clone":
        shutil.rmtree(tree / ".git/modules/an other")
    else:
        (tree / "an other/.git").unlink()
        (tree / "an other/.git").mkdir()
    with pytest.raises(SourceError, match="submodule an other: its git directory is gone") as caught:
        snapshot(tree)
    assert "git submodule deinit --force 'an other'" in caught.value.hint
