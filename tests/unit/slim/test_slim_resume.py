"""Killed anywhere and run again, the result is the same to the byte; what changed in between is done anew; the source stays as it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from repo_slim.errors import AskedError, MovedError, SourceError
from repo_slim.slim import Asked, run, status
from tests.fixtures.patience import stride
from tests.fixtures.repositories import CLEAN
from tests.fixtures.slim_history import BIG, Made, git, make
from tests.fixtures.slimming import bundle_in, fingerprint, outcome, slim

DRIVER = """
import json, os, signal, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from repo_slim import process, slim

left = int(sys.argv[2])

def counted(function):
    def call(*args, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)
    return call

for owner, name in ((process, "run"), (process, "start"), (Path, "replace"), (Path, "rename"), (Path, "unlink"), (os, "fsync")):
    setattr(owner, name, counted(getattr(owner, name)))
source, work, archive = sys.argv[3:6]
planned = slim.run(slim.Asked(source, Path(work), archive, rules={"drop_over": int(sys.argv[6])}))
slim.run(slim.Asked(source, Path(work), archive, approve=planned["approve"], publish_to=f"{work}/../published.git"))
print(json.dumps(10**6 - left))
"""


def driven(source: Path, place: Path, kill_at: int) -> subprocess.CompletedProcess[bytes]:
    """Plans, approves and publishes in a process that is killed before what it does for the n-th time to the outside world."""
    argv = [
        sys.executable,
        "-c",
        DRIVER,
        str(Path(__file__).parents[3]),
        str(kill_at),
        str(source),
        str(place / "work"),
        str(place / "archive"),
    ]
    return subprocess.run([*argv, str(BIG)], env={**os.environ, **CLEAN}, capture_output=True)


def whole(place: Path) -> dict[str, Any]:
    return {**outcome(place / "work", place / "archive"), "published": git(place / "published.git", "for-each-ref")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("history") / "source.git", 60)


@pytest.fixture(scope="module")
def wanted(made: Made, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """What an undisturbed run gives, and how often it touches the outside world."""
    place = tmp_path_factory.mktemp("undisturbed")
    git(place, "init", "--quiet", "--bare", "published.git")
    done = driven(made.directory, place, 10**6)
    assert done.returncode == 0, done.stderr.decode()
    return whole(place), int(json.loads(done.stdout))


def killed_and_run_again(made: Made, place: Path, kill_at: int) -> dict[str, Any]:
    place.mkdir()
    git(place, "init", "--quiet", "--bare", "published.git")
    before = fingerprint(made.directory)
    done = driven(made.directory, place, kill_at)
    assert done.returncode == -signal.SIGKILL, (kill_at, done.stderr.decode())
    again = driven(made.directory, place, 10**6)
    assert again.returncode == 0, (kill_at, again.stderr.decode())
    assert fingerprint(made.directory) == before
    return whole(place)


@pytest.mark.parametrize("share", [0.4, 0.85])
def test_killed_somewhere_and_run_again(made: Made, wanted: tuple[dict[str, Any], int], tmp_path: Path, share: float) -> None:
    result, steps = wanted
    assert killed_and_run_again(made, tmp_path / "again", round(share * steps)) == result


@pytest.mark.minutes
@pytest.mark.timeout(3000)
def test_killed_anywhere_and_run_again(made: Made, wanted: tuple[dict[str, Any], int], tmp_path: Path) -> None:
    result, steps = wanted
    for kill_at in range(1, steps + 1, stride(8)):
        assert killed_and_run_again(made, tmp_path / str(kill_at), kill_at) == result, kill_at


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    yield make(tmp_path / "source.git", 60).directory


def asked(source: Path, **more: Any) -> Asked:
    place = source.parent
    return Asked(str(source), place / "work", str(place / "archive"), **more)


def test_a_second_run_does_nothing(source: Path) -> None:
    done = slim(source, source.parent, drop_over=BIG)
    before = {**fingerprint(done.work), **fingerprint(done.archive)}
    before.pop("lock")
    told = run(asked(source, approve=done.told["approve"]))
    assert told == done.told
    assert {**fingerprint(done.work), **fingerprint(done.archive)}.items() >= before.items()


def test_another_hash_is_refused_before_anything_is_done(source: Path) -> None:
    planned = run(asked(source, rules={"drop_over": BIG}))
    with pytest.raises(AskedError, match=f"which is {planned['approve']}"):
        run(asked(source, approve="0123456789abcdef"))
    assert not (source.parent / "archive").exists() and not (source.parent / "work/slim.git").exists()


def test_approved_before_planned(source: Path) -> None:
    with pytest.raises(AskedError, match="nothing is planned yet"):
        run(asked(source, approve="0123456789abcdef"))


def test_a_source_that_moved_after_the_plan(source: Path) -> None:
    planned = run(asked(source, rules={"drop_over": BIG}))
    git(source, "update-ref", "refs/tags/late", "refs/heads/main~2")
    with pytest.raises(MovedError, match="its refs changed since") as raised:
        run(asked(source, approve=planned["approve"]))
    assert "without --approve" in raised.value.hint
    again = run(asked(source))
    assert again["approve"] != planned["approve"] and again["removed"] == planned["removed"]
    told = run(asked(source, approve=again["approve"]))
    assert told["stage"] == "verified" and b"refs/tags/late" in git(source.parent / "work/slim.git", "for-each-ref")


def test_a_plan_changed_by_hand_is_another_plan(source: Path) -> None:
    planned = run(asked(source, rules={"drop_over": BIG}))
    path = source.parent / "work" / "plan.toml"
    path.write_text(path.read_text().replace("keep = []", 'keep = ["*.ckpt"]'))
    with pytest.raises(AskedError, match="is not the hash of this plan"):
        run(asked(source, approve=planned["approve"]))
    again = run(asked(source))
    assert again["removed"]["file_versions"] < planned["removed"]["file_versions"]
    assert status(source.parent / "work")["approve"] == again["approve"]
    with pytest.raises(AskedError, match="says something else than the command line"):
        run(asked(source, rules={"drop_over": 10}))
    assert path.read_text().count("*.ckpt") == 2  # ours, and the comment's example: it was not written again
    assert run(asked(source, approve=again["approve"]))["stage"] == "verified"


def test_a_changed_plan_redoes_what_depends_on_it(source: Path) -> None:
    first = slim(source, source.parent, drop_over=BIG)
    assert status(first.work)["stage"] == "bundled"
    told = run(asked(source, rules={"drop_over": 2 * BIG}))
    assert told["stage"] == "planned" and status(first.work)["stage"] == "planned"
    second = slim(source, source.parent, drop_over=2 * BIG)
    assert second.told["approve"] != first.told["approve"] and second.commits != first.commits


def test_what_somebody_took_away_is_made_again(source: Path) -> None:
    done = slim(source, source.parent, drop_over=BIG)
    before = outcome(done.work, done.archive)
    for name in ("mirror.git", "slim.git"):
        subprocess.run(["rm", "-r", str(done.work / name)], check=True)
    bundle_in(done.work).unlink()
    run(asked(source, approve=done.told["approve"]))
    assert outcome(done.work, done.archive) == before


def test_begun_anew(source: Path) -> None:
    done = slim(source, source.parent, drop_over=BIG)
    kept, before = bundle_in(done.work), fingerprint(done.archive)
    (done.work / "notes.txt").write_text("somebody's own")
    told = run(Asked(str(source), done.work, restart=True))
    assert told["stage"] == "planned" and told["archive"] == str(done.archive)
    files = ["lock", "mirror.git", "notes.txt", kept.name, "plan.toml", "plan.toml.old", "report.html", "report.json", "state.json"]
    assert sorted(path.name for path in done.work.iterdir()) == sorted(files)
    assert status(done.work)["done"] == ["mirrored", "planned"]
    assert fingerprint(done.archive) == before


def test_two_at_once(source: Path) -> None:
    from repo_slim.state import locked

    with locked(source.parent / "work"), pytest.raises(AskedError, match="another process works in"):
        run(asked(source))


def clone(source: Path, *options: str) -> Path:
    target = source.with_name("clone")
    git(source.parent, "clone", "--quiet", *options, source.as_uri(), "clone")
    return target


def test_a_clone_with_a_working_tree_is_a_source_too(source: Path) -> None:
    target = clone(source)
    (target / "untracked.bin").write_bytes(b"x" * 100)
    before = fingerprint(target)
    told = slim(target, source.parent, drop_over=BIG).told
    assert told["stage"] == "verified" and fingerprint(target) == before


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda source: clone(source, "--depth=3"), "is a shallow clone"),
        (lambda source: clone(source, "--filter=blob:none", "--no-checkout"), "is a partial clone"),
    ],
)
def test_a_clone_that_lacks_something_is_refused(source: Path, prepare: Any, said: str) -> None:
    git(source, "config", "uploadpack.allowFilter", "true")
    with pytest.raises(SourceError, match=said):
        run(asked(prepare(source)))


def test_replaced_objects_are_refused(source: Path) -> None:
    git(source, "replace", "main", "main~1")
    with pytest.raises(SourceError, match="refs/replace"):
        run(asked(source))


def test_a_commit_that_only_a_detached_head_has_is_refused(source: Path) -> None:
    target = clone(source)
    git(target, "checkout", "--quiet", "--detach")
    git(target, "commit", "--quiet", "--allow-empty", "--message", "mine")
    with pytest.raises(SourceError, match="a commit that no branch has"):
        run(asked(target))


@pytest.mark.parametrize("what", ["nowhere", "empty.git"])
def test_no_history(tmp_path: Path, what: str) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "empty.git")
    with pytest.raises(SourceError, match=r"is no repository that can be read|has no commits"):
        run(asked(tmp_path / what))


def test_slimmed_twice_the_oldest_names_still_lead_to_the_newest(source: Path) -> None:
    first = slim(source, source.parent, drop_over=2 * BIG - 500)
    place = source.parent / "second"
    second = slim(first.slim, place, drop_over=BIG)
    assert second.told["verified"]["changed"] > 5
    for old, new in first.commits.items():
        assert second.commits[old] == second.commits[new]
    names = git(second.slim, "ls-tree", "-r", "--name-only", "refs/builder/commit-map").decode().split()
    assert {name.split("/")[1] for name in names if name.startswith("runs/")} == {first.told["approve"], second.told["approve"]}
    git(
        second.slim,
        "merge-base",
        "--is-ancestor",
        git(first.slim, "rev-parse", "refs/builder/commit-map").decode().strip(),
        "refs/builder/commit-map",
    )


def test_a_detached_head_that_a_branch_has(source: Path) -> None:
    target = clone(source)
    git(target, "checkout", "--quiet", "--detach", "main~3")
    done = slim(target, source.parent, drop_over=BIG, protect=("refs/heads/none",))
    old = git(target, "rev-parse", "HEAD").decode().strip()
    assert git(done.slim, "rev-parse", "HEAD").decode().strip() == done.commits[old]
    assert git(done.slim, "rev-parse", "HEAD^{tree}") == git(target, "rev-parse", "HEAD^{tree}")  # it is a tip, too


def test_a_head_that_leads_nowhere(source: Path) -> None:
    git(source, "symbolic-ref", "HEAD", "refs/heads/nowhere")
    assert slim(source, source.parent, drop_over=BIG).told["stage"] == "verified"


def test_what_a_partial_clone_of_once_left_does_not_stay_for_ever(source: Path) -> None:
    """Git never drops what a pack holds that is marked as promised."""
    git(source, "repack", "-a", "-d", "-q")
    (pack,) = (source / "objects" / "pack").glob("*.pack")
    pack.with_suffix(".promisor").touch()
    done = slim(source, source.parent, drop_over=BIG)
    assert not [*done.mirror.rglob("*.promisor"), *done.slim.rglob("*.promisor")]
