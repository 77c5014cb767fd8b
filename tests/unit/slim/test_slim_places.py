"""Whatever is asked for, and in whatever order: SOURCE, the archive, bundles and other people's files stay."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from repo_slim.errors import AskedError, SourceError
from repo_slim.files import aside_of
from repo_slim.places import top
from repo_slim.slim import Asked, run, status
from tests.fixtures.repositories import Repository, at_nobodys_home  # noqa: F401
from tests.fixtures.slim_history import git, pointer
from tests.fixtures.slimming import bundle_in, fingerprint

LARGE, CLIP = os.urandom(5000), os.urandom(3000)
RULES = {"drop_over": 2000}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository with a working tree, a directory in it, a big file and an LFS object of before."""
    repository = Repository.make(tmp_path / "agent")
    clip = {"clip.mp4": pointer(CLIP), ".gitattributes": b"*.mp4 filter=lfs -text\n"}
    repository.history({"src/a.py": b"a\n"}, {"big.bin": LARGE, **clip}, {"big.bin": None, "clip.mp4": None})
    repository.git("-c", "core.hooksPath=/dev/null", "-c", "filter.lfs.smudge=", "checkout", "--quiet", "--force", "main")
    return repository.directory


def asked(source: Path | str, place: Path, **more: Any) -> Asked:
    return Asked(str(source), **{"work": place / "work", "archive": str(place / "archive"), "rules": RULES, **more})


def finished(source: Path | str, place: Path, **more: Any) -> dict[str, Any]:
    approve = run(asked(source, place, **more))["approve"]
    return run(asked(source, place, **{**more, "approve": approve, "restart": False}))


# SOURCE


@pytest.mark.parametrize("below", ["", ".git", "src", ".git/refs"])
def test_wherever_in_the_repository_one_stands(source: Path, tmp_path: Path, below: str) -> None:
    assert top(str(source / below)) == str(source)
    told = run(asked(source / below, tmp_path))
    shutil.rmtree(tmp_path / "work")
    assert run(asked(source, tmp_path))["approve"] == told["approve"]


def test_the_top_of_a_bare_one_and_of_what_is_none(source: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(source), "bare.git")
    assert top(str(tmp_path / "bare.git/objects")) == str(tmp_path / "bare.git")
    assert top("git@git.example.com:team/agent.git") == "git@git.example.com:team/agent.git"
    assert top(str(tmp_path / "nowhere")) == str(tmp_path / "nowhere")


@pytest.mark.parametrize("what", ["nowhere", "empty"])
def test_a_wrong_source_leaves_nothing_behind(tmp_path: Path, what: str) -> None:
    git(tmp_path, "init", "--quiet", "empty")
    with pytest.raises(SourceError):
        run(asked(tmp_path / what, tmp_path))
    assert not (tmp_path / "work").exists()


def test_approved_before_planned_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    with pytest.raises(AskedError, match="nothing is planned yet"):
        run(asked(source, tmp_path, approve="0123456789abcdef"))
    assert not (tmp_path / "work").exists()


# WORK


@pytest.mark.parametrize("work", ["agent", "agent/.slim", "agent/.git/slim", "agent/src/../slim"])
def test_no_work_inside_the_source(source: Path, tmp_path: Path, work: str) -> None:
    before = fingerprint(source)
    with pytest.raises(AskedError, match="the source is never written to"):
        run(asked(source, tmp_path, work=tmp_path / work))
    assert fingerprint(source) == before


def test_no_work_inside_the_git_directory_of_a_linked_tree(source: Path, tmp_path: Path) -> None:
    git(source, "worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    with pytest.raises(AskedError, match="the source is never written to"):
        run(asked(tmp_path / "linked", tmp_path, work=source / ".git" / "slim"))


def test_no_work_among_other_peoples_files(source: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.tex").write_text("mine")
    for more in ({}, {"restart": True}):
        with pytest.raises(AskedError, match=r"has files that are none of slim-repo's: thesis\.tex"):
            run(asked(source, tmp_path, **more))
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["thesis.tex"]


def test_a_plan_may_be_there_first(source: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "plan.toml").write_text('version = 1\ndrop = ["*.bin"]\n')
    assert run(asked(source, tmp_path, rules=None))["removed"]["file_versions"] == 1


# --restart


def test_begun_anew_only_when_the_source_can_be_read(source: Path, tmp_path: Path) -> None:
    """The bundle may be the only copy by then."""
    finished(source, tmp_path)
    source.rename(tmp_path / "away")
    before = fingerprint(tmp_path / "work")
    with pytest.raises(SourceError, match="no repository that can be read"):
        run(asked(source, tmp_path, restart=True))
    assert fingerprint(tmp_path / "work") == before


def test_begun_anew_where_the_state_is_damaged(source: Path, tmp_path: Path) -> None:
    finished(source, tmp_path)
    kept = bundle_in(tmp_path / "work")
    (tmp_path / "work" / "state.json").write_text("{")
    assert finished(source, tmp_path, restart=True)["stage"] == "verified"
    assert kept.is_file()


# bundles


def test_a_second_slimming_in_the_same_place_keeps_the_first_bundle(source: Path, tmp_path: Path) -> None:
    first = finished(source, tmp_path)
    slim = tmp_path / "slim.git"
    (tmp_path / "work" / "slim.git").rename(slim)
    second = finished(slim, tmp_path, rules={"drop": ("src/**",), "drop_from_tips": ("src/**",)}, restart=True)
    assert first["bundle"]["path"] != second["bundle"]["path"]
    for told, original in ((first, source), (second, slim)):
        heads = git(tmp_path, "bundle", "list-heads", told["bundle"]["path"]).decode()
        assert f"{git(original, 'rev-parse', 'main').decode().strip()} refs/heads/main" in heads


def test_locks_of_a_git_that_was_killed_are_in_nobodys_way(source: Path, tmp_path: Path) -> None:
    done = finished(source, tmp_path)
    path = Path(done["bundle"]["path"])
    path.unlink()
    for name in (f".{path.name}.part", f".{path.name}.part.lock", f".{path.name}.part-0a1b2c3d", f".{path.name}.part-0a1b2c3d.lock"):
        (path.parent / name).write_text("of a git that was killed")
    (path.parent / f".{path.name}.trial").mkdir()
    (path.parent / "mirror.git" / "packed-refs.lock").write_text("")
    git(source, "branch", "-f", "late", "main~1")
    git(source, "branch", "-D", "late")
    assert finished(source, tmp_path)["bundle"] == done["bundle"]
    assert not [*path.parent.glob(".*")]


def test_no_two_runs_write_to_one_name(tmp_path: Path) -> None:
    """A git whose parent was killed goes on for a while, and writes to the name that it was given."""
    path = tmp_path / "original-0.bundle"
    first = aside_of(path)
    for left in (first, first.with_name(f"{first.name}.lock")):
        left.write_text("of the first")
    second = aside_of(path)
    assert second != first and second.parent == first.parent and not [*tmp_path.iterdir()]
    assert aside_of(path, "trial").name.startswith(".original-0.bundle.trial")


def test_a_mirror_with_a_lock_of_a_git_that_was_killed(source: Path, tmp_path: Path) -> None:
    run(asked(source, tmp_path))
    git(source, "branch", "late", "main~1")
    (tmp_path / "work/mirror.git/refs/heads/late.lock").write_text("")
    assert run(asked(source, tmp_path))["stage"] == "planned"
    assert b"refs/heads/late" in git(tmp_path / "work/mirror.git", "for-each-ref")


# LFS objects


def give(repository: Path) -> None:
    """What `git lfs fetch --all` brings."""
    oid = pointer(CLIP).split(b"sha256:")[1].split()[0].decode()
    path = repository / "lfs/objects" / oid[:2] / oid[2:4] / oid
    path.parent.mkdir(parents=True)
    path.write_bytes(CLIP)


def kept_content(archive: Path) -> bool:
    return CLIP in [path.read_bytes() for path in (archive / "archive/blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize("when", ["before the approval", "with the approval", "after the approval"])
def test_lfs_objects_that_turn_up_later_are_archived(source: Path, tmp_path: Path, when: str) -> None:
    planned = run(asked(source, tmp_path))
    assert len(planned["lfs_missing"]) == 1
    if when == "after the approval":
        assert len(finished(source, tmp_path)["lfs_missing"]) == 1 and not kept_content(tmp_path / "archive")
    give(source / ".git")
    if when == "before the approval":
        assert not run(asked(source, tmp_path))["lfs_missing"]
    told = run(asked(source, tmp_path, approve=planned["approve"]))
    assert not told["lfs_missing"] and kept_content(tmp_path / "archive")
    assert '"kind":"lfs"' in (tmp_path / "archive/archive/runs" / planned["approve"] / "objects.jsonl").read_text()


def test_lfs_objects_of_a_mirror_that_somebody_took_away(source: Path, tmp_path: Path) -> None:
    give(source / ".git")
    planned = run(asked(source, tmp_path))
    shutil.rmtree(tmp_path / "work/mirror.git")
    run(asked(source, tmp_path, approve=planned["approve"]))
    assert kept_content(tmp_path / "archive")


def test_what_the_archive_has_already_is_not_forgotten(source: Path, tmp_path: Path) -> None:
    give(source / ".git")
    first = finished(source, tmp_path)
    shutil.rmtree(source / ".git/lfs")
    shutil.rmtree(tmp_path / "work")
    assert finished(source, tmp_path)["approve"] == first["approve"]
    assert '"kind":"lfs"' in (tmp_path / "archive/archive/runs" / first["approve"] / "objects.jsonl").read_text()


# the archive


def test_the_archive_is_remembered(source: Path, tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    planned = run(asked(source, tmp_path))
    assert planned["archive"] == status(tmp_path / "work")["archive"] == str(tmp_path / "archive")
    told = run(asked(source, tmp_path, archive="", default_archive=other, approve=planned["approve"]))
    assert told["archive"] == str(tmp_path / "archive") and not Path(other).exists()
    with pytest.raises(AskedError, match=r"is in .*/archive already, and --archive says .*/other"):
        run(asked(source, tmp_path, archive=other, approve=planned["approve"]))
    assert run(asked(source, tmp_path, archive="", default_archive=other, restart=True))["archive"] == str(tmp_path / "archive")
    assert run(asked(source, tmp_path, archive=other))["archive"] == other  # nothing has gone anywhere since it began anew


@pytest.mark.parametrize("place", ["work/archive", "work", "agent/.builder/data", "agent/.git/archive"])
def test_no_archive_in_what_is_thrown_away_or_never_written_to(source: Path, tmp_path: Path, place: str) -> None:
    before = fingerprint(source)
    with pytest.raises(AskedError, match=r"the archive .* is inside"):
        finished(source, tmp_path, archive=str(tmp_path / place))
    assert fingerprint(source) == before and not (tmp_path / "work").exists()


# --publish-to


def test_nothing_is_published_onto_the_source(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "clone", "--quiet", "--mirror", str(source), "bare.git")
    (tmp_path / "link.git").symlink_to(tmp_path / "bare.git")
    monkeypatch.chdir(tmp_path)
    bare = tmp_path / "bare.git"
    before = fingerprint(bare)
    approve = run(asked(bare, tmp_path))["approve"]
    for url in (str(bare), "bare.git", "./bare.git/", str(tmp_path / "link.git"), bare.as_uri()):
        with pytest.raises(AskedError, match="is the source itself, which is never written to"):
            run(asked(bare, tmp_path, approve=approve, publish_to=url))
    assert fingerprint(bare) == before


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ("git@git.example.com:team/agent.git", "ssh://git@git.example.com/team/agent"),
        ("https://git.example.com/team/agent", "git@GIT.example.com:team/agent.git"),
        ("https://me@git.example.com/team/agent.git", "https://git.example.com/team/agent/"),
    ],
)
def test_nor_at_a_server(source: str, url: str, tmp_path: Path) -> None:
    with pytest.raises(AskedError, match="is the source itself"):
        run(asked(source, tmp_path, approve="0123456789abcdef", publish_to=url))


@pytest.mark.parametrize("url", ["URL", "team/agent-small.git", "/nowhere/agent.git", "file:///nowhere/agent.git"])
def test_a_remote_that_is_not_there_is_not_made(source: Path, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(AskedError, match=f"{url} is not there") as raised:
        run(asked(source, tmp_path, publish_to=url))
    assert "git init --bare" in raised.value.hint and sorted(tmp_path.iterdir()) == before


def test_nothing_is_published_into_what_is_worked_on(source: Path, tmp_path: Path) -> None:
    approve = finished(source, tmp_path)["approve"]
    for name in ("slim.git", "mirror.git"):
        with pytest.raises(AskedError, match="which is thrown away one day"):
            run(asked(source, tmp_path, approve=approve, publish_to=str(tmp_path / "work" / name)))
