"""Moving a clone touches no file: stashes, indexes, linked working trees and detached HEADs."""

from __future__ import annotations

from pathlib import Path

from repo_slim.move.move_clone import Asked, move
from tests.fixtures.moving import BEFORE, branch, commit, oid, put, refs, run, shown, status
from tests.fixtures.repositories import Repository, at_nobodys_home  # noqa: F401
from tests.fixtures.slimmed import LIMIT, Team, a_slimmed_repository, a_team, big  # noqa: F401


def test_stashes_go_along_in_their_order_and_can_be_applied(team: Team) -> None:
    clone = team.clone()
    (clone.directory / "README").write_bytes(b"first\n")
    clone.git("stash", "push", "--quiet", "-m", "the first")
    branch(clone, "work", team.commits["changed"])
    (clone.directory / "src/a.py").write_bytes(b"a = 3\n")
    put(clone, "src/b.py", b"b = 3\n")
    (clone.directory / "new.txt").write_bytes(b"untracked\n")
    clone.git("stash", "push", "--quiet", "--include-untracked", GIT_COMMITTER_DATE="1700009999 +0100")
    clone.git("checkout", "--quiet", "main")
    (clone.directory / "src/b.py").write_bytes(b"third\n")
    clone.git("stash", "push", "--quiet", "-m", "the third")
    form = ("stash", "list", "--date=raw", "--format=%gd %gs")
    listed, old = clone.text(*form), clone.text("stash", "list", "--format=%H").split()
    told = run(team, clone)
    assert [step["before"] for step in told["stashes"]] == old
    assert [step["after"] for step in told["stashes"]] == clone.text("stash", "list", "--format=%H").split()
    assert clone.text(*form) == listed
    assert list(refs(clone, f"{BEFORE}stash").values()) == old
    clone.git("checkout", "--quiet", "work")
    clone.git("stash", "pop", "--quiet", "--index", "stash@{1}")
    assert clone.git("status", "--porcelain") == b" M src/a.py\nM  src/b.py\n?? new.txt\n"
    assert oid(clone, "stash@{1}^") == team.new("end")


def test_a_stash_that_changes_what_was_taken_out_stays_and_the_others_move(team: Team) -> None:
    clone = team.clone()
    branch(clone, "work", team.commits["changed"])
    (clone.directory / "data/x.bin").write_bytes(b"other\n")
    clone.git("stash", "push", "--quiet")
    (clone.directory / "README").write_bytes(b"other\n")
    clone.git("stash", "push", "--quiet")
    newer, older = clone.text("stash", "list", "--format=%H").split()
    told = run(team, clone)
    assert told["left"] == 1
    assert clone.text("stash", "list", "--format=%H").split()[1:] == [older]
    assert clone.text("stash", "list", "--format=%H").split()[0] != newer


def test_files_and_what_is_staged_are_untouched_but_for_what_was_taken_out(team: Team) -> None:
    clone = team.clone()
    branch(clone, "work", team.commits["changed"])
    put(clone, "staged.txt", b"staged\n")
    (clone.directory / "src/a.py").write_bytes(b"changed\n")
    (clone.directory / "src/b.py").unlink()
    (clone.directory / "untracked.txt").write_bytes(b"untracked\n")
    (clone.directory / "intended.txt").write_bytes(b"intended\n")
    clone.git("add", "--intent-to-add", "intended.txt")
    clone.git("update-index", "--skip-worktree", "README")
    before, files = status(clone), tree_of(clone.directory)
    told = run(team, clone)
    assert tree_of(clone.directory) == files
    assert status(clone) == before | {b"?? data/x.bin"}
    assert told["untracked"] == {str(clone.directory): ["data/x.bin"]}
    assert clone.text("ls-files", "-v", "README") == "S README"
    clone.git("commit", "--quiet", "-m", "What was staged")
    assert b"data/x.bin" not in clone.files("HEAD")


def test_a_staged_change_of_what_was_taken_out_is_ones_own(team: Team) -> None:
    clone = team.clone()
    branch(clone, "work", team.commits["changed"])
    put(clone, "data/x.bin", b"mine\n")
    run(team, clone)
    assert status(clone) == {b"A  data/x.bin"}


def tree_of(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file() and ".git" not in path.parts}


def test_linked_working_trees_and_detached_heads(team: Team) -> None:
    clone = team.clone()
    for name in ("linked", "away", "loose"):
        clone.git("worktree", "add", "--quiet", "-b", name, str(team.root / name), team.commits["changed"])
    loose = Repository(team.root / "loose")
    loose.git("checkout", "--quiet", "--detach")
    loose.git("config", "user.name", "x")
    detached = commit(loose, "loose.py", b"l\n")
    (team.root / "away").rename(team.root / "unplugged")
    told = run(team, clone)
    linked = Repository(team.root / "linked")
    assert oid(linked, "HEAD") == team.new("changed") == oid(clone, "loose")
    assert status(linked) == {b"?? data/x.bin"}
    assert shown(clone, oid(loose, "HEAD")) == shown(clone, detached)
    assert oid(loose, "HEAD~1") == team.new("changed")
    assert status(loose) == {b"?? data/x.bin"}
    assert detached in refs(clone, f"{BEFORE}HEAD").values()
    assert len(told["heads"]) == 1
    (team.root / "unplugged").rename(team.root / "away")
    assert status(Repository(team.root / "away")) == {b"?? data/x.bin"}


def test_it_can_be_started_in_a_linked_working_tree_or_below(team: Team) -> None:
    clone = team.clone()
    clone.git("worktree", "add", "--quiet", str(team.root / "linked"), team.commits["changed"])
    told = move(Asked(team.root / "linked" / "src", str(team.after.directory), really=True))
    assert told["left"] == 0
    assert oid(clone, "main") == team.new("end")
    assert status(clone) == set()
    assert status(Repository(team.root / "linked")) == {b"?? data/x.bin"}
