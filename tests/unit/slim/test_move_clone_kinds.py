"""Clones that lack something, are bare, or cannot be moved."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from repo_slim.check import check
from repo_slim.errors import AskedError, SlimError
from repo_slim.move.move_clone import Asked, move
from tests.fixtures.moving import branch, commit, oid, refs, run, shown, where
from tests.fixtures.repositories import Repository, at_nobodys_home  # noqa: F401
from tests.fixtures.slimmed import LIMIT, Team, a_slimmed_repository, a_team, big  # noqa: F401


def test_a_clone_without_files_keeps_a_way_to_those_of_before(team: Team) -> None:
    clone = team.clone("blobless", "--filter=blob:none")
    branch(clone, "work", team.commits["changed"])
    old = commit(clone, "src/c.py", b"c\n")
    told = run(team, clone)
    assert told["left"] == 0
    assert oid(clone, "work~1") == team.new("changed")
    assert shown(clone, "work") == shown(clone, old)
    assert clone.git("cat-file", "blob", f"{team.commits['big-again']}:model.bin") == big(3), "the old remote has it"
    clone.git("fetch", "--quiet", "--all")
    assert run(team, clone)["moves"] == 0


def test_a_shallow_clone(team: Team) -> None:
    clone = team.clone("shallow", "--depth=2")
    old = commit(clone, "src/c.py", b"c\n")
    told = run(team, clone)
    assert told["left"] == 0
    assert oid(clone, "main~1") == team.new("end")
    assert shown(clone, "main") == shown(clone, old)
    assert clone.text("rev-list", "--count", "main") == "7"


def test_a_shallow_clone_that_ends_above_what_is_known(team: Team) -> None:
    team.before.git("branch", "late", "main")
    team.before.commit({"late.py": b"pushed after the slimming\n"}, branch="late")
    clone = team.clone("shallow", "--depth=1", "--branch=late")
    commit(clone, "src/c.py", b"c\n")
    told = run(team, clone)
    assert "git fetch --unshallow" in where(told)["late"]["why"]
    assert "set-branches origin" in told["warnings"][0]
    clone.git("fetch", "--quiet", "--unshallow", str(team.before.directory), "late")
    assert run(team, clone)["left"] == 0


def test_a_clone_without_trees(team: Team) -> None:
    clone = team.clone("treeless", "--filter=tree:0")
    clone.git("branch", "behind", team.commits["changed"])
    old = commit(clone, "src/c.py", b"c\n")
    assert run(team, clone)["left"] == 0
    assert oid(clone, "behind") == team.new("changed")
    assert shown(clone, "main") == shown(clone, old)


def test_a_merge_of_before_and_now_that_somebody_pulled_is_mended(team: Team) -> None:
    clone = team.clone()
    commit(clone, "src/c.py", b"c\n")
    clone.git("fetch", "--quiet", str(team.after.directory), "main")
    clone.git("merge", "--quiet", "--allow-unrelated-histories", "-m", "Pulled", "FETCH_HEAD")
    clone.git("fetch", "--quiet", str(team.after.directory), "+refs/builder/*:refs/builder/*")
    assert not check(clone.directory, LIMIT, (), "", {}).good
    assert run(team, clone)["left"] == 0
    assert check(clone.directory, LIMIT, (), "", {}).good
    assert clone.text("log", "--first-parent", "--format=%s", "-2") == "Pulled\nChange src/c.py"


def test_a_bare_clone_and_one_whose_remote_has_another_name(team: Team) -> None:
    clone = team.clone("bare.git", "--bare", "--origin=upstream")
    clone.git("config", "remote.upstream.fetch", "+refs/heads/*:refs/remotes/upstream/*")
    assert run(team, clone)["left"] == 0
    assert oid(clone, "main") == team.new("end") == oid(clone, "upstream/main")


def test_what_cannot_be_moved_is_left_alone(team: Team, tmp_path: Path) -> None:
    clone = team.clone()
    branch(clone, "work", team.commits["code"])
    commit(clone, "src/a.py", b"a = conflict\n")
    with pytest.raises(AskedError, match="nothing was published there"):
        move(Asked(clone.directory, really=True))
    with pytest.raises(SlimError, match="cannot be fetched"):
        run(team, clone, to=str(tmp_path / "nowhere"))
    before = refs(clone)
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run(["git", "rebase", "--quiet", "origin/main"], cwd=clone.directory, check=True, capture_output=True)
    with pytest.raises(AskedError, match="a rebase is under way"):
        run(team, clone)
    assert refs(clone) == before
    clone.git("rebase", "--abort")
    mirror = team.clone("mirror.git", "--mirror")
    with pytest.raises(AskedError, match="is a mirror"):
        run(team, mirror)
    with pytest.raises(AskedError, match="is no git repository"):
        move(Asked(tmp_path / "nothing", str(team.after.directory)))
    with pytest.raises(AskedError, match="it has no remote"):
        run(team, Repository.make(tmp_path / "alone"))
