"""Moving a clone: tags, notes, the remote's refs, and configuration."""

from __future__ import annotations

import shutil

from repo_slim.move.move_clone import Asked, move
from tests.fixtures.moving import BEFORE, branch, commit, oid, refs, run, shown, where
from tests.fixtures.repositories import Repository, at_nobodys_home  # noqa: F401
from tests.fixtures.slimmed import LIMIT, Team, a_slimmed_repository, a_team, big  # noqa: F401


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


def test_a_branch_upon_a_request_that_was_never_published(team: Team) -> None:
    """The commit made again is the very one that the map names."""
    clone = team.clone()
    clone.git("fetch", "--quiet", "origin", "refs/pull/7/head:refs/heads/request")
    clone.git("checkout", "--quiet", "request")
    old = commit(clone, "src/c.py", b"c\n")
    told = run(team, clone)
    assert where(told)["request"]["replayed"] == 2
    assert oid(clone, "request~1") == team.new("pull")
    assert shown(clone, "request") == shown(clone, old)
