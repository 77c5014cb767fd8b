"""Names from before the slimming lead to today's commits, whatever kind of clone one sits in."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.errors import OldNameError, RevisionError
from builder.source.old_names import REF
from builder.source.repository import Git
from tests.fixtures.repositories import Repository, at_nobodys_home, clone  # noqa: F401

OLD = ["1234567" + "a" * 33, "12345678" + "b" * 32, "fedcba98" + "7" * 32]
TREE = {"a": b"1"}


def with_map(repository: Repository, *pairs: tuple[str, str]) -> None:
    """As a slimming leaves it."""
    text = "".join(f"{old} {new}\n" for old, new in sorted(pairs)).encode()
    tree = repository.raw_tree((b"100644", b"commit-map", repository.blob(text)))
    repository.git("update-ref", REF, repository.text("commit-tree", tree, "-m", "Map old commits to new ones"))


@pytest.fixture(name="slim")
def a_slim_repository(tmp_path: Path) -> tuple[Repository, list[str]]:
    """With three commits, which had the names in OLD before."""
    slim = Repository.make(tmp_path / "slim")
    names = slim.history(TREE, {"a": b"2"}, {"a": b"3"})
    with_map(slim, *zip(OLD, names, strict=True))
    return slim, names


def resolved(repository: Repository, revision: str, said: list[str] | None = None) -> str:
    with Git.open(repository.directory, (said if said is not None else []).append) as git:
        return git.resolve(revision).sha


def requests(repository: Repository) -> list[str]:
    """What is written down when git packs something up for somebody."""
    log = repository.directory / "requests"
    return log.read_text().splitlines() if log.exists() else []


def count_requests(repository: Repository, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    hook = home / "hook"
    hook.write_text(f'#!/bin/sh\necho asked >>{repository.directory}/requests\nexec "$@"\n')
    hook.chmod(0o755)
    config = home / "config"
    config.write_text(f"[uploadpack]\n\tpackObjectsHook = {hook}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))


@pytest.mark.parametrize("digits", [7, 8, 12, 40])
def test_whole_and_first_digits(slim: tuple[Repository, list[str]], digits: int) -> None:
    repository, names = slim
    said: list[str] = []
    assert resolved(repository, OLD[2][:digits], said) == names[2]
    assert said == [f"fedcba9 is now {names[2][:7]}"]


def test_what_git_has_is_itself_and_costs_nothing(slim: tuple[Repository, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    repository, names = slim
    with_map(repository, (OLD[2], names[2]))
    said: list[str] = []
    with Git.open(repository.directory, said.append) as git:
        monkeypatch.setattr("builder.process.run", lambda *_, **__: pytest.fail("a program was started"))
        assert git.resolve(names[0]).sha == names[0]
        assert git.resolve("main").sha == names[2]
        assert git.resolve(names[0][:9]).sha == names[0]
    assert said == []


@pytest.mark.parametrize("spelled", [lambda sha: sha, lambda sha: sha[:6], lambda sha: f"{sha[:7]}~1"])
def test_an_old_name_means_the_same_where_git_still_has_the_old_commit(
    slim: tuple[Repository, list[str]], spelled: Callable[[str], str]
) -> None:
    """After a fetch of an old branch, or in a clone that was moved. A branch is what it is, even one that is called like a commit."""
    repository, names = slim
    first, second = repository.history({"a": b"1", "big": b"b"}, {"a": b"2"}, branch="stale", orphan=True)
    with_map(repository, (first, names[0]), (second, names[1]))
    said: list[str] = []
    goes_back = "~" in spelled(second)
    assert resolved(repository, spelled(second), said) == (names[0] if goes_back else names[1])
    assert said == [f"{first[:7]} is now {names[0][:7]}" if goes_back else f"{second[:7]} is now {names[1][:7]}"]
    assert resolved(repository, "stale") == second
    repository.git("update-ref", "refs/heads/abcdef1", second)
    assert resolved(repository, "abcdef1") == second


def test_an_old_commit_stays_where_the_new_one_is_not_here(slim: tuple[Repository, list[str]]) -> None:
    repository, names = slim
    with_map(repository, (names[0], OLD[0]), (names[1], "0" * 40))
    assert resolved(repository, names[0]) == names[0]
    assert resolved(repository, names[1]) == names[1]


@pytest.mark.parametrize(("revision", "said"), [("0badca", True), ("0bad~2", True), ("0badcaf", False), ("nobody", False)])
def test_too_few_digits_are_said_to_be_too_few(slim: tuple[Repository, list[str]], revision: str, said: bool) -> None:
    repository, _ = slim
    with pytest.raises(RevisionError) as caught:
        resolved(repository, revision)
    assert ("a name from before slim-repo needs 7 digits or more" in caught.value.hint) is said


def test_goes_on_from_an_old_name(slim: tuple[Repository, list[str]]) -> None:
    repository, names = slim
    assert resolved(repository, f"{OLD[2][:9]}~2") == names[0]
    assert resolved(repository, f"{OLD[2]}^") == names[1]
    with pytest.raises(OldNameError, match=f"fedcba9 is now {names[2][:7]}, and this clone has no {names[2][:12]}~5"):
        resolved(repository, f"{OLD[2]}~5")


def test_says_it_once(slim: tuple[Repository, list[str]]) -> None:
    repository, _ = slim
    said: list[str] = []
    with Git.open(repository.directory, said.append) as git:
        assert git.resolve(OLD[2]) == git.resolve(OLD[2][:7])
    assert len(said) == 1


def test_ambiguous(slim: tuple[Repository, list[str]]) -> None:
    repository, names = slim
    with pytest.raises(OldNameError, match=f"1234567 is ambiguous.*2 old commits: 12345678bbbb .now {names[1][:12]}., 1234567aaaaa"):
        resolved(repository, "1234567")
    assert resolved(repository, "12345678") == names[1]


@pytest.mark.parametrize("typed", ["fedcba98" + "7" * 30 + "07", "fedcba97", "fedcba8"])
def test_unknown_names_what_is_near(slim: tuple[Repository, list[str]], typed: str) -> None:
    repository, _ = slim
    with pytest.raises(RevisionError) as caught:
        resolved(repository, typed)
    assert f"no commit is named {typed!r}" in caught.value.message
    assert caught.value.hint.startswith("did you mean fedcba987777?")


def test_a_new_name_mistyped_is_near_too(slim: tuple[Repository, list[str]]) -> None:
    repository, names = slim
    wrong = names[1][:-1] + ("0" if names[1][-1] != "0" else "1")
    with pytest.raises(RevisionError) as caught:
        resolved(repository, wrong)
    assert caught.value.hint.startswith(f"did you mean {names[1][:12]}?")


def test_nothing_is_near(slim: tuple[Repository, list[str]]) -> None:
    repository, _ = slim
    with pytest.raises(RevisionError) as caught:
        resolved(repository, "0badcafe0")
    assert "did you mean" not in caught.value.hint


@pytest.mark.parametrize("revision", ["123456", "FEDCBA98", "fedcba98:a", "nobody"])
def test_what_is_no_old_name_is_not_looked_up(slim: tuple[Repository, list[str]], revision: str) -> None:
    repository, _ = slim
    with pytest.raises(RevisionError) as caught:
        resolved(repository, revision)
    assert not isinstance(caught.value, OldNameError)


def test_dropped(slim: tuple[Repository, list[str]]) -> None:
    repository, _ = slim
    with_map(repository, (OLD[2], "0" * 40))
    with pytest.raises(OldNameError, match="fedcba987777 has no new name: it was dropped"):
        resolved(repository, OLD[2][:8])


def test_unchanged_and_not_here(slim: tuple[Repository, list[str]]) -> None:
    repository, _ = slim
    with_map(repository, (OLD[2], OLD[2]))
    with pytest.raises(OldNameError) as caught:
        resolved(repository, OLD[2][:8])
    assert "this clone has no fedcba987777" in caught.value.message and "git" in caught.value.hint


@pytest.mark.parametrize("damage", [b"", b"no map\n", b"\xff\0" * 50, b"fedcba98 12\n", OLD[2].encode() + b" \n"])
def test_a_damaged_map_knows_nothing(slim: tuple[Repository, list[str]], damage: bytes) -> None:
    repository, _ = slim
    tree = repository.raw_tree((b"100644", b"commit-map", repository.blob(damage)))
    repository.git("update-ref", REF, repository.text("commit-tree", tree, "-m", "x"))
    with pytest.raises(RevisionError, match="no commit is named"):
        resolved(repository, OLD[2])


def test_a_ref_without_a_map(slim: tuple[Repository, list[str]]) -> None:
    repository, names = slim
    repository.git("update-ref", REF, names[0])
    with pytest.raises(RevisionError, match="no commit is named"):
        resolved(repository, OLD[2])


@pytest.mark.parametrize("options", [(), ("--filter=blob:none",), ("--filter=tree:0",), ("--depth=1",), ("--bare",), ("--single-branch",)])
@pytest.mark.parametrize("digits", [7, 40])
def test_every_kind_of_clone_fetches_the_map_once(
    slim: tuple[Repository, list[str]],
    tmp_path: Path,
    at_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    digits: int,
) -> None:
    repository, names = slim
    copy = clone(repository, tmp_path / "copy", *options)
    assert REF not in copy.text("for-each-ref", "--format=%(refname)")
    count_requests(repository, monkeypatch, at_home)
    assert resolved(copy, OLD[2][:digits]) == names[2]
    asked = requests(repository)
    assert asked
    assert resolved(copy, OLD[2][:7]) == names[2]
    assert requests(repository) == asked
    shallow = copy.text("rev-parse", "--is-shallow-repository")
    assert shallow == ("true" if "--depth=1" in options else "false")


def test_a_shallow_clone_says_what_it_lacks(slim: tuple[Repository, list[str]], tmp_path: Path) -> None:
    repository, names = slim
    copy = clone(repository, tmp_path / "copy", "--depth=1")
    with pytest.raises(OldNameError) as caught:
        resolved(copy, OLD[1][:8])
    assert caught.value.message == f"1234567 is now {names[1][:7]}, and this clone has no {names[1][:12]}"
    assert "git fetch --unshallow" in caught.value.hint


def test_nobody_is_asked_where_nobody_listens(slim: tuple[Repository, list[str]], tmp_path: Path) -> None:
    repository, _ = slim
    copy = clone(repository, tmp_path / "copy")
    with Git.open(copy.directory) as git, pytest.raises(RevisionError):
        git.resolve(OLD[2])
    assert REF not in copy.text("for-each-ref", "--format=%(refname)")


def test_a_second_slimming_is_fetched_too(slim: tuple[Repository, list[str]], tmp_path: Path) -> None:
    repository, names = slim
    copy = clone(repository, tmp_path / "copy")
    assert resolved(copy, OLD[2]) == names[2]
    with_map(repository, (OLD[2], names[1]), ("deadbeef" * 5, names[2]))
    assert resolved(copy, "deadbeef") == names[2]
    assert resolved(copy, OLD[2]) == names[1]


def test_remotes_without_a_map_are_not_asked_again_and_again(tmp_path: Path) -> None:
    plain = Repository.make(tmp_path / "plain")
    plain.commit(TREE)
    copy = clone(plain, tmp_path / "copy")
    with pytest.raises(RevisionError):
        resolved(copy, OLD[2])
    with_map(plain, (OLD[2], plain.text("rev-parse", "main")))
    with pytest.raises(RevisionError):
        resolved(copy, OLD[2])
    for path in copy.directory.glob(".git/builder-*"):
        os.utime(path, (time.time() - 700,) * 2)
    assert resolved(copy, OLD[2]) == plain.text("rev-parse", "main")


def test_another_remote_is_asked_at_once(slim: tuple[Repository, list[str]], tmp_path: Path) -> None:
    repository, names = slim
    plain = Repository.make(tmp_path / "plain")
    plain.commit(TREE)
    copy = clone(plain, tmp_path / "copy")
    with pytest.raises(RevisionError):
        resolved(copy, OLD[2])
    copy.git("remote", "add", "team", f"file://{repository.directory}")
    with pytest.raises(OldNameError, match="this clone has no"):
        resolved(copy, OLD[2])
    copy.git("fetch", "--quiet", "team")
    assert resolved(copy, OLD[2]) == names[2]


def test_says_that_the_remote_cannot_be_asked(slim: tuple[Repository, list[str]], tmp_path: Path) -> None:
    repository, names = slim
    copy = clone(repository, tmp_path / "copy")
    (repository.directory / ".git").rename(tmp_path / "away")
    with pytest.raises(RevisionError, match=r"the map of old names could not be asked for \(origin: "):
        resolved(copy, OLD[2])
    (tmp_path / "away").rename(repository.directory / ".git")
    assert resolved(copy, OLD[2]) == names[2]
