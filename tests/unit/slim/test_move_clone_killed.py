"""A move that is killed at any of its steps and run again ends as one that was not, and at no moment is a commit lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.patience import stride
from tests.fixtures.repositories import Repository, at_nobodys_home  # noqa: F401
from tests.fixtures.slimmed import Team, a_slimmed_repository, a_team  # noqa: F401

TOP = Path(__file__).parents[3]
WRAPPER = """#!/bin/sh
# Counts how often git is started, two at once too; at the wanted time it kills who started it.
n=$(flock "$COUNT" sh -c 'n=$(($(cat "$COUNT") + 1)); echo $n >"$COUNT"; echo $n')
[ "$n" = "$AT" ] && {{ kill -9 $PPID; exit 1; }}
exec {git} "$@"
"""
_GIT_S_OWN = 5  # how often git starts itself depends on time: so many fewer there may be
HALF = """#!/bin/sh
# The first transaction of the move is torn: git itself dies when it has changed some of the refs.
case "$*" in *"slim-repo --move-clone"*) head -zn $((3 * {refs})) | {git} "$@"; kill -9 $PPID; sleep 5 ;; *) exec {git} "$@" ;; esac
"""


@pytest.fixture(name="prepared")
def an_old_clone_with_work(team: Team) -> Repository:
    clone = team.clone("prepared")
    for name, start in (("one", "changed"), ("two", "big-again")):
        clone.git("checkout", "--quiet", "--no-track", "-b", name, team.commits[start])
        (clone.directory / f"{name}.py").write_bytes(name.encode())
        clone.git("add", ".")
        clone.git("commit", "--quiet", "-m", name)
        (clone.directory / "README").write_bytes(f"stashed on {name}\n".encode())
        clone.git("stash", "push", "--quiet")
    clone.git("tag", "-a", "-m", "mine", "mine")
    clone.git("notes", "add", "-m", "a note", "one")
    clone.git("worktree", "add", "--quiet", "--detach", "linked", "one")
    clone.git("checkout", "--quiet", "--detach", "one")
    clone.git("checkout", "--quiet", "-b", "three")
    (clone.directory / "README").write_bytes(b"dirty\n")
    return clone


def state(clone: Repository) -> dict[str, object]:
    """All that a person would miss."""
    files = {str(path): path.read_bytes() for path in clone.directory.rglob("*") if path.is_file() and ".git" not in path.parts}
    return {
        "refs": [line for line in clone.text("for-each-ref").splitlines() if "refs/notes/" not in line],  # they have the time of today
        "stash": clone.text("log", "-g", "--date=raw", "--format=%H %gs %gd %gn", "refs/stash", "--").splitlines(),
        "status": clone.text("status", "--porcelain", "--branch").splitlines(),
        "index": clone.text("ls-files", "--stage").splitlines(),
        "linked": Repository(clone.directory / "linked").text("status", "--porcelain").splitlines(),
        "linked head": Repository(clone.directory / "linked").text("rev-parse", "HEAD"),
        "config": clone.text("config", "--local", "--list").splitlines(),
        "notes": clone.text("notes", "list").splitlines(),
        "files": files,
    }


def kept(clone: Repository) -> set[str]:
    """Every object that some ref leads to."""
    return set(clone.text("rev-list", "--objects", "--no-object-names", "--all", "--reflog").split())


def go(team: Team, clone: Repository, **more: str) -> int:
    return typed(team, clone, **more).returncode


def typed(team: Team, clone: Repository, **more: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "builder", "slim-repo", "--move-clone", str(clone.directory), "--to", str(team.after.directory), "--yes"]
    return subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(TOP), **more})


def steps(team: Team, prepared: Repository, tmp_path: Path) -> tuple[int, dict[str, object], Repository]:
    """How often git is started by a move that nobody kills, and how it ends. The clone as it was is put aside."""
    original = Repository(prepared.directory.with_name("original"))
    shutil.copytree(prepared.directory, original.directory, symlinks=True)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "git").write_text(WRAPPER.format(git=shutil.which("git")))
    (bin_ / "git").chmod(0o755)
    (tmp_path / "count").write_text("0")
    assert go(team, prepared, **watched(tmp_path, 0)) == 0
    return int((tmp_path / "count").read_text()), state(prepared), original


def watched(tmp_path: Path, at: int) -> dict[str, str]:
    (tmp_path / "count").write_text("0")
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "COUNT": str(tmp_path / "count"), "AT": str(at)}


def again(prepared: Repository, original: Repository) -> None:
    """Under the very same path: linked working trees name it."""
    shutil.rmtree(prepared.directory)
    shutil.copytree(original.directory, prepared.directory, symlinks=True)


def killed_everywhere(team: Team, prepared: Repository, tmp_path: Path, every: int) -> None:
    count, ended, original = steps(team, prepared, tmp_path)
    assert count > 40
    everything = kept(original)
    for at in range(1, count + 1, every):
        again(prepared, original)
        killed = go(team, prepared, **watched(tmp_path, at)) == -signal.SIGKILL
        assert killed or at > count - _GIT_S_OWN, at
        assert everything <= kept(prepared), at
        assert go(team, prepared) == 0, at
        assert state(prepared) == ended, at
        assert everything <= kept(prepared), at


def test_killed_at_some_of_its_steps(team: Team, prepared: Repository, tmp_path: Path) -> None:
    killed_everywhere(team, prepared, tmp_path, every=15)


@pytest.mark.minutes
def test_killed_at_each_of_its_steps(team: Team, prepared: Repository, tmp_path: Path) -> None:
    killed_everywhere(team, prepared, tmp_path, every=stride(4))


def test_killed_again_and_again(team: Team, prepared: Repository, tmp_path: Path) -> None:
    """Each run gets a little further, or not even that."""
    count, ended, original = steps(team, prepared, tmp_path)
    again(prepared, original)
    for at in (count // 2, count // 3, count * 2 // 3, 30, count // 2):
        go(team, prepared, **watched(tmp_path, at))
    assert go(team, prepared) == 0
    assert state(prepared) == ended


@pytest.mark.parametrize("refs", [1, 2, 4])
def test_a_transaction_of_which_only_some_refs_were_changed(team: Team, prepared: Repository, tmp_path: Path, refs: int) -> None:
    _, ended, original = steps(team, prepared, tmp_path)
    again(prepared, original)
    (tmp_path / "bin" / "git").write_text(HALF.format(git=shutil.which("git"), refs=refs))
    everything = kept(prepared)
    assert go(team, prepared, PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}") == -signal.SIGKILL
    assert everything <= kept(prepared)
    assert go(team, prepared) == 0
    assert state(prepared) == ended


def test_a_lock_that_a_killed_git_left_is_named(team: Team, prepared: Repository) -> None:
    lock = prepared.directory / ".git/refs/heads/one.lock"
    lock.touch()
    done = typed(team, prepared)
    assert done.returncode == 1
    assert "one.lock" in done.stderr
    assert "take away the lock" in done.stderr
    lock.unlink()
    assert go(team, prepared) == 0


FULL = """#!/bin/sh
# A disk that is full, or that loses the end of what is written, when the bundle is made.
case "$*" in
*"bundle create"*)
    if [ "{how}" = full ]; then echo "fatal: No space left on device" >&2; exit 128; fi
    {git} "$@" && for word in "$@"; do case "$word" in *.bundle.part) truncate --size=-30 "$word" ;; esac; done ;;
*) exec {git} "$@" ;;
esac
"""


@pytest.mark.parametrize(
    ("how", "said"), [("full", "cannot be written: fatal: No space left"), ("cut", "does not have all that it should")]
)
def test_nothing_moves_before_the_bundle_is_there_and_whole(team: Team, prepared: Repository, tmp_path: Path, how: str, said: str) -> None:
    _, ended, original = steps(team, prepared, tmp_path)
    again(prepared, original)
    before = state(prepared)
    (tmp_path / "bin" / "git").write_text(FULL.format(git=shutil.which("git"), how=how))
    done = typed(team, prepared, PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 1
    assert said in done.stderr
    now = state(prepared)
    now["refs"] = [line for line in now["refs"] if "\trefs/builder/" not in line]  # type: ignore[attr-defined]
    assert now == before
    assert go(team, prepared) == 0
    assert state(prepared) == ended
