"""Moving a clone loses nothing, and the command says first what it would do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from builder.cli.documents import DOCUMENTS
from tests.fixtures.documented import blocks
from tests.fixtures.moving import BEFORE, branch, commit, oid, refs, run, touched
from tests.fixtures.repositories import Repository, at_nobodys_home  # noqa: F401
from tests.fixtures.slimmed import LIMIT, Team, a_slimmed_repository, a_team, big  # noqa: F401

TOP = Path(__file__).parents[3]


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
    assert told["next"].endswith("--taken-out keep --yes"), "a line that a shell takes"
    assert "--taken-out drop leaves" in done.stderr
    assert oid(clone, "main") == team.new("end")
    assert typed(clone, str(clone.directory), "--taken-out", "keep", "--yes").returncode == 0
    again = typed(clone)
    assert again.stdout.count("next") == 0
    assert f"remote       origin {after}\n" in again.stdout, "it is there already"
    assert typed(clone, "nowhere").returncode == 2


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
    (lines,) = [block for block in blocks("how-to/slim-repo.md", "sh") if "git gc" in block]
    subprocess.run(["bash", "-euo", "pipefail", "-c", lines], cwd=clone.directory, check=True, capture_output=True)
    assert subprocess.run(["git", "cat-file", "-e", old], cwd=clone.directory, capture_output=True).returncode != 0
    assert clone.text("stash", "list", "--format=%H").split() == stashed
    assert clone.git("fsck", "--full", "--no-dangling") == b""
    clone.git("fetch", "--quiet", told["bundle"], "refs/heads/work:refs/heads/as-it-was")
    assert oid(clone, "as-it-was") == old
