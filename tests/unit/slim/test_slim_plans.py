"""What plans other than a size do: globs, LFS, placeholders, tips that lose something; and plans that cannot be read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from repo_slim import plan
from repo_slim.errors import AskedError, DamagedError, SourceError
from repo_slim.rules import Rules
from repo_slim.slim import Asked, run
from tests.fixtures.repositories import Repository
from tests.fixtures.slim_history import BIG, Made, git, make, pointer
from tests.fixtures.slimming import Plain, Slimmed, bundle_in, slim


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("history") / "source.git", 260)


def trees(directory: Path, commits: list[str]) -> list[dict[bytes, tuple[bytes, str]]]:
    plain = Plain(directory)
    found = [plain.files(plain.tree_of(commit)) for commit in commits]
    plain.close()
    return found


def both(made: Made, done: Slimmed) -> list[tuple[dict[bytes, Any], dict[bytes, Any]]]:
    """Old and new tree of each commit."""
    old = git(made.directory, "rev-list", "--exclude=refs/notes/*", "--all").decode().split()
    return list(zip(trees(made.directory, old), trees(done.slim, [done.commits[sha] for sha in old]), strict=True))


def test_globs_take_away_what_they_match_unless_a_tip_has_it(made: Made, tmp_path: Path) -> None:
    done = slim(made.directory, tmp_path, drop=("*.ckpt", "side/"), keep=("side/20-*",))
    tips = trees(made.directory, git(made.directory, "for-each-ref", "--format=%(objectname)", "refs/heads").decode().split())
    held = {oid for tip in tips for _, oid in tip.values()}
    lost = 0
    for old, new in both(made, done):
        wanted = {
            path: what
            for path, what in old.items()
            if what[1] in held or path.startswith(b"side/20-") or not (path.endswith(b".ckpt") or path.startswith(b"side/"))
        }
        assert new == wanted
        lost += len(old) - len(new)
    assert lost > 20


def test_tips_lose_what_the_plan_names_in_so_many_words(made: Made, tmp_path: Path) -> None:
    done = slim(made.directory, tmp_path, drop_from_tips=("data/",), drop_over=None)
    assert all(not path.startswith(b"data/") for _, new in both(made, done) for path in new)
    assert any(path.startswith(b"data/") for path in trees(made.directory, ["main"])[0])


def test_placeholders_say_what_was_there(made: Made, tmp_path: Path) -> None:
    done = slim(made.directory, tmp_path, drop_over=BIG, replace="placeholder")
    plain, source = Plain(done.slim), Plain(made.directory)
    changed = 0
    for old, new in both(made, done):
        assert set(old) == set(new)
        for path, (mode, oid) in new.items():
            if oid != old[path][1]:
                changed += 1
                data = source.read(old[path][1])[1]
                first, sha256, size, _ = plain.read(oid)[1].decode().split("\n")
                assert first.startswith("removed from the history") and mode == old[path][0]
                assert (sha256, size) == (f"sha256 {hashlib.sha256(data).hexdigest()}", f"size {len(data)}")
    assert changed > 50
    plain.close()
    source.close()


def test_pointers_can_go_as_well_and_their_objects_are_kept(made: Made, tmp_path: Path) -> None:
    done = slim(made.directory, tmp_path, drop_over=None, lfs="drop")
    kept = [json.loads(line) for line in (done.work / "objects.jsonl").read_text().splitlines()]
    assert {entry["kind"] for entry in kept} == {"blob", "lfs"}
    dropped = {path for old, new in both(made, done) for path in old if path not in new}
    assert dropped and all(path.startswith(b"lfs/") for path in dropped)


def test_lfs_objects_come_from_a_server_too(made: Made, tmp_path: Path) -> None:
    """A URL is asked through git-lfs, which for `file://` reads the other repository's store."""
    planned = run(Asked(made.directory.as_uri(), tmp_path / "work", str(tmp_path / "archive"), rules={"drop_over": BIG}))
    there = {path.name for path in (tmp_path / "work/mirror.git/lfs/objects").rglob("*") if path.is_file()}
    assert there == set(made.lfs) and set(planned["lfs_missing"]) == set(made.missing)


def test_a_damaged_lfs_object_is_named(tmp_path: Path) -> None:
    made = make(tmp_path / "source.git", 260)
    for oid in made.lfs:
        (made.directory / "lfs/objects" / oid[:2] / oid[2:4] / oid).write_bytes(b"damaged")
    with pytest.raises(DamagedError, match="is damaged in the source") as raised:
        slim(made.directory, tmp_path, drop_over=BIG)
    assert "git lfs fsck" in raised.value.hint


def test_a_missing_object_is_named(tmp_path: Path) -> None:
    made = make(tmp_path / "source.git", 60)
    blob = git(made.directory, "rev-parse", "main:README").decode().strip()
    git(made.directory, "unpack-objects", "-q", stdin=packs_moved_away(made.directory))
    (made.directory / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(SourceError, match=f"{blob} should be a file, and git says: {blob} missing"):
        slim(made.directory, tmp_path, drop_over=BIG)


def packs_moved_away(directory: Path) -> bytes:
    """The one pack's bytes; afterwards the repository has none."""
    git(directory, "repack", "-a", "-d", "-q")
    (pack,) = (directory / "objects/pack").glob("*.pack")
    data = pack.read_bytes()
    for path in (directory / "objects/pack").iterdir():
        path.unlink()
    return data


def test_the_plan_says_what_it_means_and_reads_as_it_was_written(made: Made, tmp_path: Path) -> None:
    rules = {"drop_over": 2000, "drop": ('a "quoted" é', "*.ckpt"), "keep": ("x",), "protect": ("refs/heads/*", "refs/tags/v*")}
    planned = run(Asked(str(made.directory), tmp_path / "work", str(tmp_path / "archive"), rules=rules))
    assert plan.read(Path(planned["plan"])) == Rules(**rules)  # type: ignore[arg-type]
    assert b"2kB" in Path(planned["plan"]).read_bytes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version = 1\ndrop = [", "is no TOML"),
        ("version = 2", "version must be 1"),
        ("version = 1\ndorp = []", "nobody knows dorp"),
        ('version = 1\ndrop = "*.ckpt"', "drop must be a list of texts"),
        ('version = 1\nlfs = "burn"', "lfs is 'burn', and must be keep-pointers or drop"),
        ('version = 1\ndrop_over = "huge"', "'huge' is no size"),
        ('version = 1\nkeep = ["/"]', "'/' is no glob"),
    ],
)
def test_a_plan_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(AskedError, match=said):
        plan.parse(text.encode(), "plan.toml")


def test_undone_from_bundle_and_archive(made: Made, tmp_path: Path) -> None:
    """As docs/how-to/slim-repo.md says."""
    done = slim(made.directory, tmp_path, drop_over=BIG)
    git(tmp_path, "clone", "--quiet", "--mirror", str(bundle_in(done.work)), "again.git")
    git(tmp_path, "init", "--quiet", "--bare", "server.git")
    git(tmp_path / "again.git", "push", "--quiet", "--mirror", str(tmp_path / "server.git"))
    assert git(tmp_path / "server.git", "for-each-ref") == git(made.directory, "for-each-ref")
    git(tmp_path / "server.git", "fsck", "--full", "--no-dangling")
    for line in (done.work / "objects.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] == "lfs":
            data = (done.archive / "archive/blobs" / entry["sha256"][:2] / entry["sha256"]).read_bytes()
            assert data == (made.directory / "lfs/objects" / entry["sha256"][:2] / entry["sha256"][2:4] / entry["sha256"]).read_bytes()


def test_what_looks_like_a_pointer_and_is_none() -> None:
    from repo_slim import lfs

    text = pointer(b"content")
    assert lfs.parse(text) is not None
    for other in (text[:-20], text + b"x" * 1000, text.replace(b"sha256", b"sha512"), b"x" + text, text.replace(b"size", b"sise")):
        assert lfs.parse(other) is None


def plan_of(directory: Path, place: Path, **rules: Any) -> dict[str, Any]:
    return run(Asked(str(directory), place / "work", str(place / "archive"), rules=rules))


def test_flags_make_another_plan_and_do_not_add_to_the_one_before(made: Made, tmp_path: Path) -> None:
    first = plan_of(made.directory, tmp_path, drop_over=5)
    assert plan.read(Path(first["plan"])).drop_over == 5
    assert plan_of(made.directory, tmp_path)["approve"] == first["approve"], "without flags it stays"
    rules = plan.read(Path(plan_of(made.directory, tmp_path, drop=("*.ckpt",))["plan"]))
    assert (rules.drop_over, rules.drop) == (None, ("*.ckpt",))
    rules = plan.read(Path(plan_of(made.directory, tmp_path, keep=("docs/",))["plan"]))
    assert (rules.drop_over, rules.drop, rules.keep) == (1_000_000, (), ("docs/",))


def test_what_matches_nothing_is_named(made: Made, tmp_path: Path) -> None:
    told = plan_of(made.directory, tmp_path, drop=("[z", "data/"), keep=("nobody/",))
    assert told["unmatched"] == [{"key": "drop", "pattern": "[z"}, {"key": "keep", "pattern": "nobody/"}]
    path = Path(told["plan"])
    path.write_text(path.read_text().replace('"refs/heads/*"', '"refs/heads/*", "refs/heads/nope"'))
    assert {"key": "protect", "pattern": "refs/heads/nope"} in plan_of(made.directory, tmp_path)["unmatched"]


def test_the_branches_that_hold_something_back_are_named(tmp_path: Path) -> None:
    """`alone`: what would go if that branch were deleted; the report has every one, the summary three."""
    source = Repository.make(tmp_path / "source")
    large = {name: name.encode() * 5000 for name in "abcd"}
    source.commit({"a": large["a"], "readme": b"r"})
    for number, more in enumerate(("b", "", "cd", "d")):
        source.commit({"a": large["a"], **{name: large[name] for name in more}}, branch=f"b{number}")
    told = plan_of(source.directory, tmp_path, drop_over=1000)
    held = json.loads((tmp_path / "work/report.json").read_text())["held"]
    assert {each["ref"].removeprefix("refs/heads/"): (each["file_versions"], each["size"], each["alone"]) for each in held} == {
        "b0": (2, 10_000, 5000),
        "b2": (3, 15_000, 5000),
        "b3": (2, 10_000, 0),
        "b1": (1, 5000, 0),
        "main": (1, 5000, 0),
    }
    assert told["held_by"] == {"refs": 5, "most": held[:3]} and [each["ref"][-2:] for each in held[:3]] == ["b2", "b0", "b3"]
    assert "What protected refs hold back" in (tmp_path / "work/report.html").read_text()
