"""Everything that must hold of a slimmed repository, looked at without the library's own eyes, on 1,500 hard commits."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from repo_slim.record import removed_from
from tests.fixtures.slim_history import BIG, LATIN, Made, git, make
from tests.fixtures.slimming import Files, Plain, Slimmed, bundle_in, fingerprint, outcome, slim

MAP = "refs/builder/commit-map"
SHA = re.compile(rb"\b[0-9a-f]{7,40}\b")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("history") / "source.git", 1500)


@pytest.fixture(scope="module")
def before(made: Made) -> dict[str, str]:
    return fingerprint(made.directory)


@pytest.fixture(scope="module")
def done(made: Made, before: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Slimmed:
    place = tmp_path_factory.mktemp("slim")
    return slim(made.directory, place, str(place / "published.git"), drop_over=BIG)


@pytest.fixture(scope="module")
def old(made: Made) -> Iterator[Plain]:
    plain = Plain(made.directory)
    yield plain
    plain.close()


@pytest.fixture(scope="module")
def new(done: Slimmed) -> Iterator[Plain]:
    plain = Plain(done.slim)
    yield plain
    plain.close()


@pytest.fixture(scope="module")
def sizes(made: Made) -> dict[str, int]:
    listed = git(made.directory, "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objectsize)").decode().split()
    return dict(zip(listed[0::2], map(int, listed[1::2]), strict=True))


@pytest.fixture(scope="module")
def protected(old: Plain) -> set[str]:
    tips = [oid for name, oid in old.refs().items() if name.startswith("refs/heads/")]
    return {oid for tip in tips for mode, oid in old.files(old.tree_of(tip)).values() if mode != b"160000"}


def expected(files: Files, sizes: dict[str, int], protected: set[str]) -> Files:
    """The rule in one line: what is larger goes, unless a tip has it."""
    return {path: (mode, oid) for path, (mode, oid) in files.items() if mode == b"160000" or sizes[oid] <= BIG or oid in protected}


def ordinary(old: Plain) -> list[str]:
    return old.revisions("--exclude=refs/notes/*", "--all")


def test_the_history_has_what_makes_it_hard(made: Made, old: Plain, protected: set[str], sizes: dict[str, int]) -> None:
    assert made.commits >= 1500 and made.lfs and made.missing
    commits = [old.read(sha)[1] for sha in old.revisions()]
    assert sum(commit.count(b"\nparent ") == 0 for commit in commits) >= 3  # two roots, and the first note
    assert any(commit.count(b"\nparent ") >= 4 for commit in commits)
    assert any(b"\ngpgsig " in commit for commit in commits) and any(b"\nencoding " in commit for commit in commits)
    files = [old.files(old.tree_of(sha)) for sha in ordinary(old)]
    assert (
        any(LATIN in each for each in files)
        and any(b"shape" in each for each in files)
        and any(b"shape/inner.txt" in each for each in files)
    )
    assert {mode for each in files for mode, _ in each.values()} == {b"100644", b"100755", b"120000", b"160000"}
    assert any(size > BIG for blob, size in sizes.items() if blob in protected)


def test_every_tree_is_the_old_one_without_what_goes(
    old: Plain, new: Plain, done: Slimmed, sizes: dict[str, int], protected: set[str]
) -> None:
    changed = 0
    for sha in ordinary(old):
        files, found = old.files(old.tree_of(sha)), new.files(new.tree_of(done.commits[sha]))
        assert found == expected(files, sizes, protected), sha
        changed += found != files
    assert changed > 500


def test_parents_people_dates_and_messages_are_the_same(old: Plain, new: Plain, done: Slimmed) -> None:
    translated = 0
    for sha in ordinary(old):
        head, _, message = old.read(sha)[1].partition(b"\n\n")
        new_head, _, new_message = new.read(done.commits[sha])[1].partition(b"\n\n")
        wanted = re.sub(rb"\n(gpgsig|HG:extra) [^\n]*(\n [^\n]*)*", b"", head).split(b"\n")[1:]
        wanted = [b"parent " + done.commits[line[7:].decode()].encode() if line.startswith(b"parent ") else line for line in wanted]
        assert new_head.split(b"\n")[1:] == wanted
        assert SHA.sub(b"", message) == SHA.sub(b"", new_message)
        for was, now in zip(SHA.findall(message), SHA.findall(new_message), strict=True):
            meant = [new for known, new in done.commits.items() if known.startswith(was.decode())]
            assert now.decode() in ({each[: len(now)] for each in meant} or {was.decode()})
            translated += was != now
    assert translated > 50


def test_the_map_is_total(old: Plain, new: Plain, done: Slimmed) -> None:
    assert set(done.commits) == set(old.revisions())
    assert set(done.commits.values()) == set(new.revisions("--exclude=refs/builder/commit-map", "--all"))
    assert list(done.commits) == sorted(done.commits)


def test_no_ref_is_lost(old: Plain, new: Plain, done: Slimmed) -> None:
    was, now = old.refs(), new.refs()
    assert set(now) == {*was, MAP}
    for name, oid in was.items():
        if old.read(oid)[0] == "commit":
            assert now[name] == done.commits[oid], name
    assert (done.slim / "HEAD").read_text() == "ref: refs/heads/main\n"


def test_tags_lead_to_what_they_led_to(old: Plain, new: Plain, done: Slimmed, sizes: dict[str, int], protected: set[str]) -> None:
    was, now = old.refs(), new.refs()
    for name in ("v1", "v1-again", "signed-late", "trees-annotated", "signed-first"):
        kind, data = new.read(now[f"refs/tags/{name}"])
        assert kind == "tag" and f"\ntag {name}\n".encode() in data
    assert new.read(now["refs/tags/v1"])[1].endswith(b"\n\nannotated\n\nwith two parts\n")
    assert new.read(now["refs/tags/v1-again"])[1].startswith(b"object " + now["refs/tags/v1"].encode())
    assert now["refs/tags/blobs"] == was["refs/tags/blobs"]
    tree = new.files(now["refs/tags/trees"])
    assert tree == expected(old.files(was["refs/tags/trees"]), sizes, protected)
    inner = [repository.read(refs["refs/tags/trees-annotated"])[1][7:47].decode() for repository, refs in ((old, was), (new, now))]
    assert new.files(inner[1]) == expected(old.files(inner[0]), sizes, protected) != old.files(inner[0])


def test_signatures_that_no_longer_fit_are_dropped_and_told(old: Plain, new: Plain, done: Slimmed) -> None:
    signed = {sha for sha in ordinary(old) if b"\ngpgsig " in old.read(sha)[1].partition(b"\n\n")[0]}
    assert signed and set(done.told["verified"]["unsigned"]) == signed
    assert done.told["verified"]["headers"] == {"HG:extra": len(signed)}
    was, now = old.refs(), new.refs()
    late = "refs/tags/signed-late"
    assert done.told["unsigned_tags"] == [was[late]]
    assert b"BEGIN PGP" in old.read(was[late])[1] and b"BEGIN PGP" not in new.read(now[late])[1]
    assert new.read(now[late])[1].endswith(b"\n\nsigned\n")


def test_notes_are_on_the_new_names(old: Plain, new: Plain, done: Slimmed) -> None:
    was, now = old.refs(), new.refs()
    for ref in ("refs/notes/commits", "refs/notes/ci"):
        names = {**done.commits, was["refs/tags/v1"]: now["refs/tags/v1"]}
        notes = {
            names.get(path.replace(b"/", b"").decode(), path.decode()): what for path, what in old.files(old.tree_of(was[ref])).items()
        }
        assert notes and {path.replace(b"/", b"").decode(): what for path, what in new.files(new.tree_of(now[ref])).items()} == notes
    history = len(old.revisions("refs/notes/commits"))
    assert history > 20 and len(new.revisions("refs/notes/commits")) == history


def test_what_is_removed_is_what_the_archive_has(old: Plain, new: Plain, done: Slimmed, made: Made, sizes: dict[str, int]) -> None:
    ours = git(done.slim, "rev-list", "--objects", "--no-object-names", MAP).decode().split()
    listed = [json.loads(line) for line in (done.work / "objects.jsonl").read_text().splitlines()]
    gone = {entry["blob"] for entry in listed if entry["kind"] == "blob"}
    assert old.blobs() - new.blobs() == gone and new.blobs() - old.blobs() <= set(ours)
    assert gone == {blob for blob in old.blobs() if sizes[blob] > BIG} - new.blobs()
    for entry in listed:
        data = (done.archive / "archive/blobs" / entry["sha256"][:2] / entry["sha256"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"] and len(data) == entry["size"]
        if entry["kind"] == "blob":
            assert hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == entry["blob"]


def test_lfs_objects_that_no_tip_points_to_are_archived_and_the_others_go_along(
    old: Plain, done: Slimmed, made: Made, protected: set[str]
) -> None:
    texts = [old.read(blob)[1] for blob in protected]
    at_tips = {found[1].decode() for text in texts if (found := re.search(rb"oid sha256:([0-9a-f]{64})\n", text))}
    listed = [json.loads(line) for line in (done.work / "objects.jsonl").read_text().splitlines()]
    assert {entry["sha256"] for entry in listed if entry["kind"] == "lfs"} == set(made.lfs) - at_tips
    assert {path.name for path in (done.slim / "lfs/objects").rglob("*") if path.is_file()} == set(made.lfs) & at_tips
    assert set(done.told["lfs_missing"]) == set(made.missing)


def test_tips_of_branches_keep_exactly_what_they_contain(old: Plain, new: Plain) -> None:
    was, now = old.refs(), new.refs()
    heads = [name for name in was if name.startswith("refs/heads/")]
    assert len(heads) > 3
    for name in heads:
        assert old.tree_of(was[name]) == new.tree_of(now[name])


def test_git_finds_nothing_wrong(done: Slimmed) -> None:
    git(done.slim, "fsck", "--full", "--strict", "--no-dangling")


def test_the_bundle_restores_identical_refs(old: Plain, done: Slimmed, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--mirror", str(bundle_in(done.work)), "restored.git")
    restored = Plain(tmp_path / "restored.git")
    assert restored.refs() == old.refs()
    assert restored.blobs() == old.blobs()
    restored.close()


def test_the_source_is_never_written_to(made: Made, before: dict[str, str], done: Slimmed) -> None:
    assert fingerprint(made.directory) == before


def test_it_is_published_as_it_is(done: Slimmed, new: Plain) -> None:
    published = Plain(done.work.parent / "published.git")
    skipped = {"refs/pull/1/head", "refs/remotes/origin/main"}
    assert set(done.told["published"]["skipped"]) == skipped
    assert published.refs() == {name: oid for name, oid in new.refs().items() if name not in skipped}
    assert (published.directory / "HEAD").read_text() == "ref: refs/heads/main\n"
    published.close()


def test_what_every_commit_lost_can_be_looked_up(old: Plain, new: Plain, done: Slimmed) -> None:
    """As a later reader does it: from the ref alone."""
    lines = git(done.slim, "cat-file", "blob", f"{MAP}:runs/{done.told['approve']}/commits.jsonl").splitlines()
    for sha in ordinary(old)[::37]:
        files, left = old.files(old.tree_of(sha)), new.files(new.tree_of(done.commits[sha]))
        lost = {path.decode("utf-8", "surrogateescape"): oid for path, (_, oid) in files.items() if path not in left}
        assert removed_from(lines, sha) == lost, sha


def test_the_archive_tells_the_same_as_the_ref(done: Slimmed) -> None:
    folder = done.archive / "archive" / "runs" / done.told["approve"]
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert set(manifest["files"]) == {"plan.toml", "report.json", "objects.jsonl", "commits.jsonl", "commit-map"}
    for name, said in manifest["files"].items():
        data = (folder / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (said["sha256"], said["size"])
        place = name if name == "commit-map" else f"runs/{done.told['approve']}/{name}"
        assert git(done.slim, "cat-file", "blob", f"{MAP}:{place}") == data


def test_a_second_run_elsewhere_gives_the_same(made: Made, done: Slimmed, tmp_path: Path) -> None:
    again = slim(made.directory, tmp_path, drop_over=BIG)
    assert outcome(again.work, again.archive) == outcome(done.work, done.archive)
