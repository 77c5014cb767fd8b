"""A repository that was made small stays so: big files and commits of before are refused, and nothing else is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from builder.cli import frame
from builder.cli.documents import DOCUMENTS
from repo_slim.check import Findings, check
from repo_slim.errors import AskedError
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, clone  # noqa: F401
from tests.fixtures.slimmed import LIMIT, Team, a_slimmed_repository, a_team, big  # noqa: F401


@pytest.fixture(name="small")
def a_clone_of_the_small_one(team: Team) -> Repository:
    return team.clone(of_after=True)


def look(repository: Repository, revisions: str = "", keep: tuple[str, ...] = (), **hook: str) -> Findings:
    return check(repository.directory, LIMIT, keep, revisions, hook)


def oid(repository: Repository, revision: str) -> str:
    return repository.text("rev-parse", revision)


def put(repository: Repository, path: str, content: bytes) -> None:
    (repository.directory / path).parent.mkdir(parents=True, exist_ok=True)
    (repository.directory / path).write_bytes(content)
    repository.git("add", "--", path)


def commit(repository: Repository, path: str, content: bytes) -> str:
    put(repository, path, content)
    repository.git("commit", "--quiet", "-m", f"Change {path}")
    return repository.text("rev-parse", "HEAD")


def paths(found: Findings) -> list[tuple[str, str]]:
    return [(big.path, big.commit) for big in found.big]


# big files


def test_the_published_repository_is_good_and_its_map_is_fetched(small: Repository) -> None:
    assert not small.text("for-each-ref", "refs/builder")
    found = look(small)
    assert found.good
    assert found.mapped
    assert small.text("for-each-ref", "refs/builder/commit-map")


def test_a_big_file_in_the_index_is_named(small: Repository) -> None:
    put(small, "new/model.bin", big(7))
    found = look(small)
    assert [(big.path, big.size, big.commit) for big in found.big] == [("new/model.bin", len(big(7)), "")]
    assert not found.good


def test_a_file_of_just_the_size_is_none(small: Repository) -> None:
    put(small, "edge.bin", b"x" * LIMIT)
    assert look(small).good
    put(small, "edge.bin", b"x" * (LIMIT + 1))
    assert paths(look(small)) == [("edge.bin", "")]


def test_a_big_file_that_a_later_commit_takes_away_travels_all_the_same(small: Repository) -> None:
    name = commit(small, "model.bin", big(7))
    small.git("rm", "--quiet", "model.bin")
    small.git("commit", "--quiet", "-m", "Take it away")
    assert paths(look(small)) == [("model.bin", name)]


def test_only_what_the_default_branch_lacks_is_looked_at(small: Repository) -> None:
    commit(small, "model.bin", big(7))
    small.git("push", "--quiet", "origin", "HEAD:main")
    small.git("checkout", "--quiet", "-b", "feature")
    commit(small, "src/c.py", b"c\n")
    assert look(small).good
    assert look(small).commits == 1


def test_on_the_default_branch_itself_all_since_the_map_is(small: Repository) -> None:
    name = commit(small, "model.bin", big(7))
    commit(small, "src/c.py", b"c\n")
    small.git("push", "--quiet", "origin", "HEAD:main")
    assert paths(look(small)) == [("model.bin", name)]


def test_a_hook_looks_at_what_comes_in_now(small: Repository) -> None:
    """Else nobody could mend a commit that has a big file, or work upon one of others."""
    commit(small, "model.bin", big(7))
    index = str(small.directory / ".git/index")
    assert look(small, GIT_INDEX_FILE=index).good
    small.git("rm", "--quiet", "--cached", "model.bin")
    assert look(small, GIT_INDEX_FILE=index).good
    put(small, "other.bin", big(8))
    assert paths(look(small, GIT_INDEX_FILE=index)) == [("other.bin", "")]
    small.git("reset", "--quiet", "--hard")
    small.git("checkout", "--quiet", "-b", "side", "origin/main")
    assert not look(small, "main").good
    commit(small, "src/c.py", b"c\n")
    small.git("merge", "--quiet", "--no-commit", "main")
    assert paths(look(small, GIT_INDEX_FILE=index)) == [("model.bin", oid(small, "main"))]


def test_a_big_file_that_the_tip_kept_may_be_renamed_and_copied(small: Repository) -> None:
    small.git("mv", "kept.bin", "moved.bin")
    assert look(small).good
    small.git("commit", "--quiet", "-m", "Rename it")
    assert look(small).good
    shutil.copyfile(small.directory / "moved.bin", small.directory / "copy.bin")
    small.git("add", "copy.bin")
    assert look(small).good
    put(small, "moved.bin", big(8))
    assert paths(look(small)) == [("moved.bin", "")]


def test_what_a_merge_brings_from_the_default_branch_is_not_new_but_what_it_adds_is(small: Repository) -> None:
    small.git("checkout", "--quiet", "-b", "feature", "HEAD~1")
    commit(small, "src/c.py", b"c\n")
    small.git("checkout", "--quiet", "main")
    commit(small, "model.bin", big(7))
    small.git("push", "--quiet", "origin", "main")
    small.git("checkout", "--quiet", "feature")
    small.git("merge", "--quiet", "--no-commit", "main")
    assert look(small).good
    put(small, "evil.bin", big(9))
    assert paths(look(small)) == [("evil.bin", "")]
    small.git("commit", "--quiet", "-m", "Merge, with a stowaway")
    assert paths(look(small)) == [("evil.bin", small.text("rev-parse", "HEAD"))]


def test_keep_and_pointers_and_submodules_are_let_be(small: Repository) -> None:
    put(small, "data/table.bin", big(7))
    assert look(small, keep=("data/**",)).good
    assert not look(small, keep=("*.txt",)).good
    small.git("reset", "--quiet", "--hard")
    put(small, "lfs.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 99999999\n")
    small.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendor/lib")
    assert look(small).good
    small.git("commit", "--quiet", "-m", "A pointer and a submodule")
    assert look(small).good


def test_names_that_are_no_text_and_directories_that_were_files(small: Repository) -> None:
    odd = os.fsdecode(b"new\nline \xff.bin")
    put(small, odd, big(7))
    (small.directory / "kept.bin").unlink()
    put(small, "kept.bin/inner", big(8))
    assert sorted(path for path, _ in paths(look(small))) == ["kept.bin/inner", odd]


def test_a_repository_without_a_commit_or_a_map(repository: Repository) -> None:
    put(repository, "model.bin", big(7))
    found = look(repository)
    assert paths(found) == [("model.bin", "")]
    assert not found.mapped
    assert found.commits == 0


def test_a_range_and_what_pre_commit_says_and_zeros(small: Repository) -> None:
    first = commit(small, "model.bin", big(7))
    second = commit(small, "src/c.py", b"c\n")
    assert look(small, f"{first}..{second}").good
    assert not look(small, f"{first}~1..HEAD").good
    assert look(small, PRE_COMMIT_FROM_REF=first, PRE_COMMIT_TO_REF=second).good
    assert not look(small, PRE_COMMIT_FROM_REF=f"{first}~1", PRE_COMMIT_TO_REF=second).good
    assert not look(small, f"{'0' * 40}..{second}").good
    assert look(small, f"{second}..{'0' * 40}").commits == 0
    with pytest.raises(AskedError, match="nonsense is no commit"):
        look(small, "nonsense")


# clones that lack something


def test_a_shallow_clone_says_what_it_cannot_see(team: Team) -> None:
    shallow = team.clone("shallow", "--depth=1", of_after=True)
    assert look(shallow).good  # its commit is one of the map's
    name = commit(shallow, "src/c.py", b"c\n")
    shallow.git("push", "--quiet", "origin", "HEAD:main")
    again = team.clone("again", "--depth=1", of_after=True)
    found = look(again)
    assert found.cut == (name,)
    assert [(big.path, big.cut) for big in found.big] == [("kept.bin", True)]


def test_a_clone_without_files_asks_for_the_new_ones_at_once(team: Team, small: Repository) -> None:
    small.git("checkout", "--quiet", "-b", "feature")
    first = commit(small, "model.bin", big(7))
    for number in range(3):
        commit(small, f"src/c{number}.py", b"%d\n" % number)
    small.git("rm", "--quiet", "model.bin")
    small.git("commit", "--quiet", "-m", "Take it away")
    small.git("push", "--quiet", "origin", "feature")
    blobless = clone(team.after, team.root / "blobless", "--filter=blob:none", "--branch=feature")
    trace = team.root / "trace"
    assert paths(check_traced(blobless, trace)) == [("model.bin", first)]
    started = [event["argv"] for event in map(json.loads, trace.read_text().splitlines()) if event["event"] == "start"]
    assert len([argv for argv in started if "fetch" in argv]) == 2, "one for the map, and one for all files"


def check_traced(repository: Repository, trace: Path) -> Findings:
    os.environ["GIT_TRACE2_EVENT"] = str(trace)
    try:
        return look(repository)
    finally:
        del os.environ["GIT_TRACE2_EVENT"]


# commits of before


def test_a_merge_of_an_old_branch_is_found_with_the_way_it_came(team: Team, small: Repository) -> None:
    small.git("fetch", "--quiet", str(team.before.directory), "main")
    small.git("merge", "--quiet", "--allow-unrelated-histories", "-X", "ours", "-m", "Stale", "FETCH_HEAD")
    found = look(small)
    end = team.commits["end"]
    assert [(old.commit, old.new, old.through) for old in found.old] == [(end, team.map[end], small.text("rev-parse", "HEAD"))]
    assert found.old[0].more == 5
    small.git("push", "--quiet", "origin", "HEAD:main")
    assert look(small).old == found.old, "also when the remote has it already"


def test_old_commits_below_the_tip_of_an_unmoved_clone_are_found(team: Team) -> None:
    unmoved = team.clone()
    unmoved.git("fetch", "--quiet", str(team.after.directory), "+refs/builder/*:refs/builder/*")
    commit(unmoved, "src/c.py", b"c\n")
    assert [old.commit for old in look(unmoved).old] == [team.commits["end"]]


def test_a_clone_of_another_repository_is_not_asked_for_its_map_each_time(team: Team) -> None:
    unmoved = team.clone()
    assert not look(unmoved).mapped
    team.before.git("fetch", "--quiet", str(team.after.directory), "+refs/builder/*:refs/builder/*")
    assert not look(unmoved).mapped
    (unmoved.directory / ".git/builder/no-commit-map").unlink()
    assert look(unmoved).mapped


# hooks, through the command itself


@pytest.fixture(name="hooked")
def a_clone_with_hooks(small: Repository, monkeypatch: pytest.MonkeyPatch) -> Repository:
    hooks = small.directory / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    line = f"{sys.executable} -m builder slim-repo --check --max-size {LIMIT}"
    for name in ("pre-commit", "pre-merge-commit"):
        (hooks / name).write_text(f"#!/bin/sh\nexec {line}\n")
    (hooks / "pre-push").write_text(f'#!/bin/sh\nwhile read -r _ new _ old; do {line} "$old..$new" || exit 1; done\n')
    for path in hooks.iterdir():
        path.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    return small


def tried(repository: Repository, *words: str) -> tuple[int, str]:
    done = subprocess.run(["git", *words], cwd=repository.directory, capture_output=True, text=True)
    return done.returncode, done.stderr


def test_hooks_stop_a_commit_of_the_index_and_of_files(hooked: Repository) -> None:
    put(hooked, "model.bin", big(7))
    code, said = tried(hooked, "commit", "-m", "Big")
    assert code == 1
    assert "model.bin has 5.0 kB, more than 4000: staged" in said
    hooked.git("rm", "--quiet", "--cached", "model.bin")
    (hooked.directory / "README").write_bytes(big(8))
    for words in (("commit", "-a", "-m", "Big"), ("commit", "-m", "Big", "README")):
        code, said = tried(hooked, *words)
        assert code == 1
        assert "README has" in said
    (hooked.directory / "README").write_bytes(b"fine\n")
    assert tried(hooked, "commit", "-a", "-m", "Small")[0] == 0


def test_hooks_stop_a_stale_merge_before_it_is_made_and_before_it_is_pushed(team: Team, hooked: Repository) -> None:
    hooked.git("fetch", "--quiet", str(team.before.directory), "main")
    merge = ("merge", "--allow-unrelated-histories", "-X", "ours", "-m", "Stale", "FETCH_HEAD")
    code, said = tried(hooked, *merge)
    assert code != 0
    assert f"commit {team.commits['end']} is from before slim-repo" in said
    hooked.git("merge", "--abort")
    assert tried(hooked, "merge", "--no-verify", *merge[1:])[0] == 0
    code, said = tried(hooked, "push", "origin", "HEAD:refs/heads/stale")
    assert code == 1
    assert team.commits["end"] in said
    hooked.git("reset", "--quiet", "--hard", "origin/main")
    commit(hooked, "src/c.py", b"c\n")
    assert tried(hooked, "push", "origin", "HEAD:refs/heads/fresh")[0] == 0
    assert tried(hooked, "push", "origin", ":refs/heads/fresh")[0] == 0


def test_a_commit_in_a_linked_working_tree_is_looked_at_there(hooked: Repository, tmp_path: Path) -> None:
    hooked.git("worktree", "add", "--quiet", str(tmp_path / "linked"))
    linked = Repository(tmp_path / "linked")
    put(linked, "model.bin", big(7))
    assert tried(linked, "commit", "-m", "Big")[0] == 1
    put(hooked, "src/c.py", b"c\n")
    assert tried(hooked, "commit", "-m", "Small")[0] == 0


def test_the_document_and_the_exit_code(small: Repository) -> None:
    put(small, "model.bin", big(7))
    argv = [sys.executable, "-m", "builder", "slim-repo", "--check", "--max-size", "4kB", "-o", "json"]
    done = subprocess.run(
        argv, cwd=small.directory, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    )
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["big"] == [{"path": "model.bin", "size": len(big(7)), "commit": "", "cut": False}]
    assert not told["good"]
    described = DOCUMENTS["builder slim-repo --check"]
    assert set(told) == {"schema", *described.keys}
    assert set(told["big"][0]) == set(described.parts["big"])
    assert "git rm --cached -- model.bin" in done.stderr
    assert subprocess.run([*argv[:-2], "nonsense"], cwd=small.directory, capture_output=True).returncode == 2


def test_it_takes_no_time_on_a_long_history(repository: Repository) -> None:
    """Less than 0.3 s of one processor on 1,500 commits where nobody else wants it."""
    names = repository.history(*({f"src/{number % 50}/f{number}.py": b"%d\n" % number} for number in range(1500)))
    blob = repository.blob("".join(f"{name} {name}\n" for name in names).encode())
    tree = repository.text("mktree", stdin=f"100644 blob {blob}\tcommit-map\n".encode())
    repository.git("update-ref", "refs/builder/commit-map", repository.text("commit-tree", tree, "-m", "Map"))
    repository.git("reset", "--quiet", "--hard")
    before = os.times()
    subprocess.run([sys.executable, "-m", "builder", "slim-repo", "--check"], cwd=repository.directory, check=True, capture_output=True)
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 0.6


def test_the_hook_for_pre_commit_is_this_command(small: Repository) -> None:
    """pre-commit runs `entry` at each of `stages` without files."""
    (hook,) = yaml.safe_load((Path(__file__).parents[3] / ".pre-commit-hooks.yaml").read_text())
    assert hook["id"] == "slim-check"
    assert not hook["pass_filenames"]
    assert {"pre-commit", "pre-merge-commit", "pre-push"} <= set(hook["stages"])
    words = hook["entry"].split()
    put(small, "model.bin", big(7))
    for size, code in (("1MB", 0), ("4kB", 1)):
        argv = [sys.executable, "-m", *words, f"--max-size={size}"]
        assert subprocess.run(argv, cwd=small.directory, capture_output=True).returncode == code


def test_names_that_no_line_holds(small: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on the screen, a command that bash takes as it is, and JSON that git reads back."""
    monkeypatch.chdir(small.directory)
    name = os.fsdecode(b'src/w\n"e"\xff.bin')
    put(small, name, big(7))
    assert frame.run(["slim-repo", "--check", "--max-size", "4kB", "-o", "json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["big"][0]["path"] == r'"src/w\n\"e\"\377.bin"'
    first, hint = err.splitlines()
    assert first.startswith(r'error: src/w\n"e"\xff.bin has ')
    line = hint.partition("`")[2].partition("`")[0]
    subprocess.run(["bash", "-c", line], check=True, capture_output=True)
    assert look(small).good
