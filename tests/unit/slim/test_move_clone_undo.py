"""What the documentation says of going back does that, word for word."""

from __future__ import annotations

import subprocess

import pytest

from tests.fixtures.documented import blocks
from tests.fixtures.moving import BEFORE, branch, commit, oid, put, refs, run, status
from tests.fixtures.repositories import Repository, at_nobodys_home  # noqa: F401
from tests.fixtures.slimmed import Team, a_slimmed_repository, a_team  # noqa: F401


def go_back(clone: Repository) -> None:
    (lines,) = [block for block in blocks("how-to/slim-repo.md", "sh") if "stash store" in block]
    done = subprocess.run(["sh", "-e", "-u", "-c", lines], cwd=clone.directory, capture_output=True, text=True)
    assert done.returncode == 0 and "error" not in done.stderr and "fatal" not in done.stderr, done.stderr


def seen(clone: Repository) -> dict[str, object]:
    """All that a person has: refs, stashes, the index, what is changed, and where the remote is."""
    return {
        "refs": refs(clone, "refs/heads", "refs/tags", "refs/notes", "refs/remotes", "refs/stash"),
        "stashes": clone.text("stash", "list", "--format=%H"),
        "head": clone.text("symbolic-ref", "HEAD"),
        "index": clone.text("ls-files", "--stage"),
        "status": status(clone),
        "remote": clone.text("config", "remote.origin.url"),
        "map": refs(clone, "refs/builder/commit-map"),
    }


@pytest.mark.parametrize("on", ["main", "work"])
def test_back_to_how_it_was(team: Team, on: str) -> None:
    clone = team.clone()
    branch(clone, "work", team.commits["changed"])
    commit(clone, "src/c.py", b"c\n")
    clone.git("tag", "-a", "-m", "mine", "mine")
    clone.git("tag", "light-one", "main~1")
    clone.git("notes", "add", "-m", "good", "main")
    for number in range(11):
        put(clone, "src/c.py", b"stashed %d\n" % number)
        clone.git("stash", "push", "--quiet", "-m", f"number {number}")
    clone.git("checkout", "--quiet", on)
    put(clone, "README", b"staged\n")
    (clone.directory / "README").write_bytes(b"changed after that\n")
    (clone.directory / "untracked").write_bytes(b"u\n")
    before = seen(clone)
    files = {path: path.read_bytes() for path in clone.directory.rglob("*") if path.is_file() and ".git" not in path.parts}
    told = run(team, clone)
    assert told["done"] and told["left"] == 0 and oid(clone, "work") != before["refs"]["refs/heads/work"]  # type: ignore[index]
    go_back(clone)
    after = seen(clone)
    assert str(after["stashes"]).splitlines()[:11] == str(before["stashes"]).splitlines()
    assert {**after, "stashes": before["stashes"]} == before
    assert {path: path.read_bytes() for path in files} == files
    assert clone.git("fsck", "--full", "--no-dangling") == b""


def test_back_and_forth(team: Team) -> None:
    clone = team.clone()
    branch(clone, "work", team.commits["changed"])
    commit(clone, "src/c.py", b"c\n")
    before = seen(clone)
    run(team, clone)
    moved, kept = seen(clone), refs(clone, BEFORE)
    go_back(clone)
    assert seen(clone) == before
    run(team, clone)
    assert seen(clone) == moved and refs(clone, BEFORE) == kept
