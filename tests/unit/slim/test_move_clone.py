"""A clone of before goes on with the history of now: what each commit changes stays the same."""

from __future__ import annotations

import os

import pytest

from repo_slim.check import check
from tests.fixtures.moving import BEFORE, branch, commit, oid, put, refs, run, shown, touched, where
from tests.fixtures.repositories import Repository, at_nobodys_home  # noqa: F401
from tests.fixtures.slimmed import LIMIT, Team, a_slimmed_repository, a_team, big  # noqa: F401


def test_a_dry_run_says_all_and_changes_nothing_of_the_persons(team: Team) -> None:
    clone = team.clone()
    branch(clone, "work", team.commits["changed"])
    commit(clone, "src/c.py", b"c\n")
    (clone.directory / "README").write_bytes(b"dirty\n")
    ours = ("refs/heads", "refs/tags", "refs/remotes", "refs/stash")
    before = refs(clone, *ours), (clone.directory / ".git/config").read_bytes(), (clone.directory / ".git/index").read_bytes()
    told = run(team, clone, really=False)
    assert (refs(clone, *ours), (clone.directory / ".git/config").read_bytes(), (clone.directory / ".git/index").read_bytes()) == before
    assert not told["done"]
    assert not refs(clone, BEFORE)
    again = run(team, clone)
    told_steps, done_steps = (
        {kind: each[kind] for kind in ("branches", "tags", "stashes", "heads", "untracked")} for each in (told, again)
    )
    assert told_steps == done_steps
    assert oid(clone, "work") == where(told)["work"]["after"]


def test_a_branch_that_is_what_the_remote_has_just_moves(team: Team) -> None:
    clone = team.clone()
    clone.git("branch", "--track", "topic", "origin/topic")
    clone.git("branch", "behind", team.commits["small"])
    told = run(team, clone)
    assert oid(clone, "main") == team.new("end") == oid(clone, "origin/main") == team.after.text("rev-parse", "main")
    assert oid(clone, "topic") == team.new("topic") == oid(clone, "origin/topic")
    assert oid(clone, "behind") == team.new("small")
    assert {step["replayed"] for step in told["branches"]} == {0}
    assert clone.text("status", "--porcelain", "--branch") == "## main...origin/main"
    assert clone.text("rev-parse", "--abbrev-ref", "topic@{upstream}") == "origin/topic"
    assert check(clone.directory, LIMIT, (), "", {}).good


def test_what_a_local_commit_says_and_changes_stays_the_same(team: Team) -> None:
    clone = team.clone()
    branch(clone, "work", team.commits["small"])
    first = commit(clone, "src/c.py", b"c = 1\n")
    second = commit(clone, "src/a.py", b"a = 9\n", f"Build on {first[:9]} and {team.commits['small']}, not on deadbeef1")
    clone.git("mv", "src/a.py", "src/moved.py")
    (clone.directory / "README").chmod(0o755)
    clone.git("commit", "--quiet", "-a", "-m", "Move it", "--author", "Zoë <zoë@example.org>")
    clone.git("commit", "--quiet", "--allow-empty", "-m", "Nothing")
    old = clone.text("rev-list", "--reverse", f"{team.commits['small']}..work").split()
    told = run(team, clone)
    new = clone.text("rev-list", "--reverse", f"{team.new('small')}..work").split()
    assert where(told)["work"]["replayed"] == len(old) == len(new) == 4
    assert not set(old) & set(new)
    names = (clone.directory / ".git/builder/before-slim/commits").read_text().splitlines()
    assert sorted(names) == names == sorted(f"{before} {after}" for before, after in zip(old, new, strict=True))
    for before, after in zip(old, new, strict=True):
        if before != second:
            assert shown(clone, after) == shown(clone, before)
    assert clone.text("log", "-1", "--format=%s", new[1]) == f"Build on {new[0][:9]} and {team.new('small')}, not on deadbeef1"
    assert clone.files("work") == {path: file for path, file in clone.files(old[-1]).items() if path != b"data/x.bin"}
    assert clone.git("fsck", "--full", "--no-dangling") == b""


def test_a_merge_stays_a_merge(team: Team) -> None:
    clone = team.clone()
    branch(clone, "side", team.commits["code"])
    commit(clone, "side.py", b"s\n")
    branch(clone, "work", team.commits["small"])
    commit(clone, "src/c.py", b"c\n")
    clone.git("merge", "--quiet", "-m", "Merge both", "origin/main~1", "side")
    put(clone, "evil.py", b"in the merge itself\n")
    clone.git("commit", "--quiet", "--amend", "--no-edit")
    after_merge = commit(clone, "src/d.py", b"d\n")
    old = oid(clone, "work")
    run(team, clone)
    new = oid(clone, "work")
    assert clone.text("log", "-1", "--format=%P", f"{new}~1").split()[1:] == [team.new("big-again"), oid(clone, "side")]
    assert shown(clone, new) == shown(clone, after_merge)
    gone = {path for path, (_, data) in clone.files(old).items() if len(data) > LIMIT and path != b"kept.bin"}
    assert gone == {b"model.bin"}
    assert clone.files(new) == {path: file for path, file in clone.files(old).items() if path not in gone}
    assert check(clone.directory, LIMIT, (), "", {}).good


def test_a_history_with_nothing_of_before_in_it_stays(team: Team) -> None:
    clone = team.clone()
    clone.git("checkout", "--quiet", "--orphan", "alone")
    clone.git("rm", "-r", "--quiet", "--cached", ".")
    alone = commit(clone, "alone.py", b"a\n")
    assert run(team, clone)["left"] == 0
    assert oid(clone, "alone") == alone


def test_a_signature_is_lost_and_that_is_said(team: Team) -> None:
    clone = team.clone()
    raw = clone.git("cat-file", "commit", "main").replace(b"\n\n", b"\ngpgsig -----BEGIN\n  more\n -----END\nHG:extra kept\n\n", 1)
    raw = raw.replace(f"parent {team.commits['big-again']}".encode(), f"parent {team.commits['end']}".encode())
    signed = clone.text("hash-object", "-t", "commit", "-w", "--stdin", stdin=raw)
    clone.git("update-ref", "refs/heads/signed", signed)
    assert run(team, clone)["unsigned"] == [signed]
    now = clone.git("cat-file", "commit", "signed")
    assert now == raw.replace(b"gpgsig -----BEGIN\n  more\n -----END\n", b"").replace(
        team.commits["end"].encode(), team.new("end").encode()
    )


# what was taken out


@pytest.mark.parametrize("how", ["change", "rename", "bring back"])
def test_a_change_to_what_was_taken_out_stops_its_branch_alone(team: Team, how: str) -> None:
    clone = team.clone()
    old = touched(team, clone, how)
    clone.git("branch", "other", "main")
    told = run(team, clone)
    assert told["left"] == 1
    assert oid(clone, "work") == old
    assert f"commit {oid(clone, 'work~1')[:12]}: it changes or brings back" in where(told)["work"]["why"]
    assert oid(clone, "other") == oid(clone, "main") == team.new("end")
    assert not check(clone.directory, LIMIT, (), "", {}).good


@pytest.mark.parametrize(
    ("how", "kept"),
    [("change", {b"data/x.bin"}), ("rename", {b"data/y.bin"}), ("bring back", {b"again.bin"})],
)
def test_it_may_be_kept_or_dropped(team: Team, how: str, kept: set[bytes]) -> None:
    plain = {b"README", b"model.bin", b"src/a.py", b"src/b.py", b"src/c.py"}
    for choice, more in (("keep", kept), ("drop", set())):
        clone = team.clone(choice)
        old = touched(team, clone, how)
        assert run(team, clone)["left"] == 1
        assert run(team, clone, taken_out=choice)["left"] == 0
        assert set(clone.files("work")) == plain | more
        assert {path: clone.files("work")[path] for path in more} == {path: clone.files(old)[path] for path in more}
        assert oid(clone, "work~2") == team.new("changed")


@pytest.mark.parametrize("how", ["mode", "delete", "directory"])
def test_what_leads_to_the_same_end_is_no_conflict(team: Team, how: str) -> None:
    clone = team.clone()
    old = touched(team, clone, how)
    assert run(team, clone)["left"] == 0
    expected = {path: file for path, file in clone.files(old).items() if path != b"data/x.bin"}
    assert clone.files("work") == expected


def test_names_and_messages_that_are_no_text(team: Team) -> None:
    clone = team.clone()
    branch(clone, "work", team.commits["changed"])
    clone.git("branch", "a\u2028b", team.commits["end"])
    (clone.directory / "README").write_bytes(b"stashed\n")
    clone.git("stash", "push", "--quiet", "-m", "form\x0cfeed and\x85 more")
    put(clone, os.fsdecode(b"caf\xe9\n\xff.txt"), b"odd\n")
    (clone.directory / ".git/message").write_bytes(b"caf\xe9\n\nwith \xff\n")
    clone.git("-c", "i18n.commitEncoding=ISO-8859-1", "commit", "--quiet", "-F", ".git/message")
    old = clone.git("cat-file", "commit", "HEAD")
    listed = clone.git("log", "-g", "--format=%gs", "refs/stash")
    run(team, clone)
    assert oid(clone, "a\u2028b") == team.new("end")
    assert clone.git("log", "-g", "--format=%gs", "refs/stash") == listed
    new = clone.git("cat-file", "commit", "HEAD")
    assert new.split(b"\n")[2:] == old.split(b"\n")[2:]
    assert b"encoding ISO-8859-1" in new
    assert os.fsencode(b"caf\xe9\n\xff.txt") in clone.files("HEAD")
