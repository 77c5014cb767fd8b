"""A clone of before goes on with the history of now: what each commit changes stays the same, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builder.cli.documents import DOCUMENTS
from repo_slim.check import check
from repo_slim.errors import AskedError, SlimError
from repo_slim.move.move_clone import Asked, move
from tests.fixtures.documented import blocks
from tests.fixtures.repositories import Repository, at_nobodys_home  # noqa: F401
from tests.fixtures.slimmed import LIMIT, Team, a_slimmed_repository, a_team, big  # noqa: F401

TOP = Path(__file__).parents[3]
BEFORE = "refs/builder/before-slim/"


def run(team: Team, clone: Repository, *, taken_out: Any = "stop", really: bool = True, to: str = "") -> dict[str, Any]:
    return move(Asked(clone.directory, to or str(team.after.directory), taken_out, really))


def put(clone: Repository, path: str, content: bytes) -> None:
    (clone.directory / path).parent.mkdir(parents=True, exist_ok=True)
    (clone.directory / path).write_bytes(content)
    clone.git("add", "--", path)


def commit(clone: Repository, path: str, content: bytes, message: str = "") -> str:
    put(clone, path, content)
    clone.git("commit", "--quiet", "-m", message or f"Change {path}")
    return clone.text("rev-parse", "HEAD")


def branch(clone: Repository, name: str, start: str) -> None:
    clone.git("checkout", "--quiet", "--no-track", "-b", name, start)


def oid(clone: Repository, revision: str) -> str:
    return clone.text("rev-parse", revision)


def shown(clone: Repository, commit: str) -> str:
    """All that a commit says and changes against its first parent, but for names of commits and trees."""
    form = "--format=%an%n%ae%n%aI%n%cn%n%ce%n%cI%n%B"
    return clone.git("show", "--diff-merges=first-parent", "--no-renames", "--full-index", "--binary", form, commit).decode("latin-1")


def refs(clone: Repository, *patterns: str) -> dict[str, str]:
    lines = clone.text("for-each-ref", "--format=%(refname) %(objectname)", *patterns).splitlines()
    return dict(line.split() for line in lines)


def where(told: dict[str, Any], kind: str = "branches") -> dict[str, Any]:
    return {step["name"].rpartition("/")[2]: step for step in told[kind]}


# branches


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


def touched(team: Team, clone: Repository, how: str) -> str:
    """A branch with one commit that does something to a file that was taken out; then one that does not."""
    branch(clone, "work", team.commits["changed"])
    path = clone.directory / "data/x.bin"
    if how == "change":
        path.write_bytes(b"small now\n")
    elif how == "rename":
        clone.git("mv", "data/x.bin", "data/y.bin")
    elif how == "mode":
        path.chmod(0o755)
    elif how == "delete":
        path.unlink()
    elif how == "directory":
        path.unlink()
        put(clone, "data/x.bin/inner.txt", b"i\n")
    elif how == "bring back":
        put(clone, "again.bin", clone.git("cat-file", "blob", f"{team.commits['begin']}:model.bin"))
    clone.git("commit", "--quiet", "-a", "-m", how)
    return commit(clone, "src/c.py", b"c\n")


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
    ("how", "kept", "dropped"),
    [("change", {b"data/x.bin"}, set()), ("rename", {b"data/y.bin"}, set()), ("bring back", {b"again.bin"}, set())],
)
def test_it_may_be_kept_or_dropped(team: Team, how: str, kept: set[bytes], dropped: set[bytes]) -> None:
    plain = {b"README", b"model.bin", b"src/a.py", b"src/b.py", b"src/c.py"}
    for choice, more in (("keep", kept), ("drop", dropped)):
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


# stashes, and what is not committed


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


def status(clone: Repository) -> set[bytes]:
    return set(clone.git("status", "--porcelain=v1", "-z", "--untracked-files=all").split(b"\0")[:-1])


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


# tags and notes, the remote


def test_tags_of_ones_own_go_along_and_those_of_the_remote_are_the_remotes(team: Team) -> None:
    clone = team.clone()
    branch(clone, "work", team.commits["changed"])
    commit(clone, "src/c.py", b"c\n")
    clone.git("tag", "mine")
    clone.git("tag", "-a", "-m", "of mine", "mine-too", "mine")
    clone.git("tag", "-a", "-m", "a tag of a tag", "thrice", "mine-too")
    clone.git("tag", "-f", "light", team.commits["changed"])
    told = run(team, clone)
    assert oid(clone, "v1") == team.after.text("rev-parse", "v1")
    assert oid(clone, "mine") == oid(clone, "mine-too^{}") == oid(clone, "thrice^{}") == oid(clone, "work")
    assert clone.text("cat-file", "tag", "mine-too").endswith("of mine")
    assert oid(clone, "light") == team.new("changed")
    assert [text.partition(" is not")[0] for text in told["warnings"]] == ["refs/tags/light"]


def test_notes_are_copied_to_the_new_names(team: Team) -> None:
    clone = team.clone()
    branch(clone, "work", team.commits["changed"])
    old = commit(clone, "src/c.py", b"c\n")
    clone.git("notes", "add", "-m", "mine", old)
    clone.git("notes", "--ref=ci", "add", "-m", "green", team.commits["end"])
    assert run(team, clone)["notes"] == 2
    assert clone.text("notes", "show", "work") == "mine"
    assert clone.text("notes", "--ref=ci", "show", "main") == "green"
    assert clone.text("notes", "show", old) == "mine"
    assert run(team, clone)["notes"] == 0


def test_configuration_and_hooks_stay_but_for_where_the_remote_is(team: Team) -> None:
    clone = team.clone()
    for key, value in {"alias.x": "status", "branch.main.rebase": "true", "remote.origin.pushurl": str(team.before.directory)}.items():
        clone.git("config", key, value)
    clone.git("config", "--add", "remote.origin.fetch", "+refs/pull/*/head:refs/remotes/origin/pr/*")
    clone.git("remote", "add", "fork", str(team.before.directory))
    hook = clone.directory / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "post-rewrite"):
        (hook.parent / name).write_text("#!/bin/sh\nexit 1\n")
        (hook.parent / name).chmod(0o755)
    config = clone.text("config", "--local", "--list").splitlines()
    (clone.directory / ".git/config").chmod(0o600)
    told = run(team, clone)
    assert (clone.directory / ".git/builder/before-slim/config").stat().st_mode & 0o777 == 0o600
    now = clone.text("config", "--local", "--list").splitlines()
    old, new = (f"remote.origin.url={where}" for where in (f"file://{team.before.directory}", team.after.directory))
    pushed = f"remote.origin.pushurl={team.before.directory}"
    assert sorted(now) == sorted([line for line in config if line not in (old, pushed)] + [new])
    assert old in Repository(clone.directory).text("config", "--file", ".git/builder/before-slim/config", "--list")
    assert hook.read_text() == "#!/bin/sh\nexit 1\n"
    assert told["others"] == ["fork"]


def test_tags_of_ones_own_outlive_a_remote_that_is_fetched_with_all_its_tags(team: Team) -> None:
    clone = team.clone()
    clone.git("config", "--add", "remote.origin.fetch", "+refs/tags/*:refs/tags/*")
    clone.git("config", "fetch.prune", "true")
    clone.git("config", "lfs.url", "https://lfs.example.com/old")
    clone.git("tag", "mine", team.commits["changed"])
    told = run(team, clone)
    assert oid(clone, "mine") == team.new("changed")
    assert told["warnings"] == ["lfs.url still names the LFS server of before: `git config lfs.url URL`, or --unset"]


def test_a_repository_that_took_the_old_ones_place(team: Team) -> None:
    clone = team.clone()
    branch(clone, "work", team.commits["changed"])
    commit(clone, "src/c.py", b"c\n")
    shutil.rmtree(team.before.directory)
    team.after.directory.rename(team.before.directory)
    clone.git("fetch", "--quiet")  # as people do, before they hear of it
    told = move(Asked(clone.directory, really=True))
    assert told["left"] == 0
    assert oid(clone, "work~1") == team.new("changed")
    assert told["remote"]["before"] == told["remote"]["after"]


def test_branches_that_only_the_old_remote_has_are_named_and_kept(team: Team) -> None:
    team.before.git("branch", "late", "main")
    late = team.before.commit({"late.py": b"pushed after the slimming\n"}, branch="late")
    clone = team.clone()
    told = run(team, clone)
    assert [step["name"] for step in told["elsewhere"]] == ["refs/remotes/origin/late"]
    assert "refs/remotes/origin/late" not in refs(clone)
    assert refs(clone)[f"{BEFORE}remotes/origin/late"] == late
    clone.git("branch", "late", f"{BEFORE}remotes/origin/late")
    assert run(team, clone)["left"] == 0
    assert shown(clone, "late") == shown(clone, late)


def test_branches_and_tags_that_came_after_the_slimming_are_in_the_way_of_nothing(team: Team) -> None:
    fresh = team.clone("fresh", of_after=True)
    newer = commit(fresh, "newer.py", b"n\n")
    fresh.git("push", "--quiet", "origin", "main")
    clone = team.clone()
    run(team, clone)
    assert oid(clone, "main") == team.new("end")
    assert oid(clone, "origin/main") == newer
    clone.git("merge", "--quiet", "--ff-only")
    assert oid(clone, "main") == newer


# everything is kept


def test_every_ref_of_before_is_kept_and_in_the_bundle(team: Team) -> None:
    clone = team.clone()
    branch(clone, "work", team.commits["changed"])
    commit(clone, "src/c.py", b"c\n")
    (clone.directory / "README").write_bytes(b"stashed\n")
    clone.git("stash", "push", "--quiet")
    before = {name: value for name, value in refs(clone).items() if name != "refs/stash"}
    stash = oid(clone, "stash")
    told = run(team, clone)
    kept = refs(clone, BEFORE)
    assert {BEFORE + name.removeprefix("refs/"): value for name, value in before.items()}.items() <= kept.items()
    assert kept[f"{BEFORE}stash/0"] == stash
    restored = Repository(team.root / "restored")
    subprocess.run(["git", "clone", "--quiet", "--mirror", told["bundle"], str(restored.directory)], check=True)
    assert refs(restored, BEFORE) == kept
    assert before.items() <= refs(restored).items()
    restored.git("fsck", "--full", "--no-dangling")


def test_a_second_run_does_nothing_and_a_later_branch_goes_along(team: Team) -> None:
    clone = team.clone()
    run(team, clone)
    before = refs(clone)
    assert run(team, clone)["moves"] == 0
    assert refs(clone) == before
    clone.git("checkout", "--quiet", "-B", "main", team.commits["small"])  # somebody makes main one of before again
    late = commit(clone, "late.py", b"l\n")
    run(team, clone)
    assert oid(clone, "main~1") == team.new("small")
    assert refs(clone, BEFORE).items() >= before_slim(before).items()
    assert refs(clone)[f"{BEFORE}heads/main@2"] == late


def before_slim(found: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in found.items() if name.startswith(BEFORE)}


# the command


def typed(clone: Repository, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "builder", "slim-repo", "--move-clone", *words]
    return subprocess.run(argv, cwd=clone.directory, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(TOP)})


def test_the_command_says_first_and_does_then(team: Team) -> None:
    clone = team.clone()
    after = str(team.after.directory)
    touched(team, clone, "change")
    clone.git("checkout", "--quiet", "main")
    said = typed(clone, "--to", after)
    assert said.returncode == 0
    assert "branch       work stays: commit" in said.stdout
    assert said.stdout.endswith(f"next         builder slim-repo --move-clone . --to {after} --yes\n")
    assert oid(clone, "main") == team.commits["end"]
    done = typed(clone, "--to", after, "--yes", "-o", "json")
    assert done.returncode == 1, "a branch stays"
    told, described = json.loads(done.stdout), DOCUMENTS["builder slim-repo --move-clone"]
    assert set(told) == {"schema", *described.keys}
    assert all(set(step) == set(described.parts["branches"]) for step in told["branches"])
    assert told["next"].endswith("--taken-out keep|drop --yes")
    assert oid(clone, "main") == team.new("end")
    assert typed(clone, str(clone.directory), "--taken-out", "keep", "--yes").returncode == 0
    assert typed(clone).stdout.count("next") == 0
    assert typed(clone, "nowhere").returncode == 2


# other clones


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


def test_the_old_history_can_be_let_go_and_restored_from_the_bundle(team: Team) -> None:
    """With the lines that docs/how-to/slim-repo.md shows."""
    clone = team.clone()
    branch(clone, "work", team.commits["changed"])
    old = commit(clone, "src/c.py", b"c\n")
    for content in (b"first\n", b"second\n"):
        (clone.directory / "README").write_bytes(content)
        clone.git("stash", "push", "--quiet")
    told = run(team, clone)
    stashed = clone.text("stash", "list", "--format=%H").split()
    (lines,) = [block for block in blocks("how-to/slim-repo.md", "sh") if "before-slim" in block]
    subprocess.run(["bash", "-euo", "pipefail", "-c", lines], cwd=clone.directory, check=True, capture_output=True)
    assert subprocess.run(["git", "cat-file", "-e", old], cwd=clone.directory, capture_output=True).returncode != 0
    assert clone.text("stash", "list", "--format=%H").split() == stashed
    assert clone.git("fsck", "--full", "--no-dangling") == b""
    clone.git("fetch", "--quiet", told["bundle"], "refs/heads/work:refs/heads/as-it-was")
    assert oid(clone, "as-it-was") == old
