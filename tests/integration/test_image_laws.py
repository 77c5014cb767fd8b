"""The laws of a commit's image over random trees and histories: exact, and a pure function of the commit."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.image import budget, code, shards
from builder.image.shards import Budget
from builder.model.oci import Manifest
from builder.model.tree import EXECUTABLE, FILE, SYMLINK
from builder.settings import ImageSettings
from tests.fixtures.images import ON_NOTHING, build, code_layers, flatten
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.repositories import File, Repository, an_empty_repository, at_nobodys_home, clone, executable, numbered  # noqa: F401

LARGE = 64
GOLDEN = "sha256:b074c653d51575a84dc779ccf3e240a86a37a56b48b25265328df6a59ad4051c"
"""Of the image of the tiny repository below, on nothing. When a change makes another one, every commit gets a new digest at the next
`--refresh`, and images of earlier versions no longer verify: change the number in FORMAT (builder/image/compose.py) with it, or CODEC
(builder/image/layers.py) when layers are made otherwise, and only then write the new digest here."""


def test_golden(repository: Repository) -> None:
    repository.history({"src/a.py": b"print(1)\n", "run.sh": executable(b"#!/bin/sh\n"), "latest": "src"}, {"src/a.py": b"print(2)\n"})
    assert repository.text("rev-parse", "main") == "b4854a1cdd72e44587ea2e4674dd83f3d1ce785e"
    assert build(repository.directory, MemoryStore(), "main").digest == GOLDEN


# --- random trees ---------------------------------------------------------------------------------------------------------------------

NAMES = [b"a", b"b", b"c", b"a.b", b"a-b", b"d e", b"\xff\xfe", b"x\ny", "é".encode(), b"n" * 101, b"k.bin", b"src", b"data"]
Model = dict[bytes, File]

paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(b"/".join)
contents = st.binary(max_size=12) | st.builds(
    lambda size, fill: bytes([fill]) * size, st.integers(LARGE - 2, 5 * LARGE), st.integers(0, 255)
)
links = st.sampled_from([b"a", b"/etc/passwd", b"../..", b"nowhere/at/all", b"\xff", b"t" * 120, b"src"])
files = st.tuples(st.sampled_from([FILE, EXECUTABLE]), contents) | st.tuples(st.just(SYMLINK), links)


def put(tree: Model, path: bytes, file: File) -> Model:
    """With the file; without what was in its way."""
    return {
        other: kept for other, kept in tree.items() if not (path + b"/").startswith(other + b"/") and not other.startswith(path + b"/")
    } | {path: file}


@st.composite
def changed(draw: st.DrawFn, tree: Model) -> Model:
    """A few of the things that people do between two commits."""
    for _ in range(draw(st.integers(1, 4))):
        what = draw(st.sampled_from(["put", "edit", "remove", "move", "mode", "grow", "shrink", "remove directory"])) if tree else "put"
        path = draw(st.sampled_from(sorted(tree))) if tree else b""
        if what == "put":
            tree = put(tree, draw(paths), draw(files))
        elif what == "edit":
            tree = {**tree, path: draw(files)}
        elif what == "remove":
            tree = {other: file for other, file in tree.items() if other != path}
        elif what == "move":
            tree = put({other: file for other, file in tree.items() if other != path}, draw(paths), tree[path])
        elif what == "mode" and tree[path][0] != SYMLINK:
            tree = {**tree, path: (EXECUTABLE if tree[path][0] == FILE else FILE, tree[path][1])}
        elif what in ("grow", "shrink") and tree[path][0] != SYMLINK:
            tree = {**tree, path: (tree[path][0], tree[path][1] + bytes(LARGE) if what == "grow" else tree[path][1][: LARGE // 2])}
        elif what == "remove directory":
            tree = {other: file for other, file in tree.items() if not other.startswith(path.partition(b"/")[0] + b"/")}
    return tree


@st.composite
def histories(draw: st.DrawFn) -> list[Model]:
    first: Model = {}
    for path, file in draw(st.lists(st.tuples(paths, files), max_size=40)):
        first = put(first, path, file)
    trees = [first]
    for _ in range(draw(st.integers(1, 4))):
        trees.append(draw(changed(trees[-1])))
    return trees


excludes = st.sampled_from([(), (), ("*.bin",), ("/data", "c")])


def left_out(path: bytes, patterns: tuple[str, ...]) -> bool:
    """What these few patterns mean, said once more."""
    parts = path.decode("utf-8", "surrogateescape").split("/")
    return any(
        fnmatchcase(parts[0], pattern[1:]) if pattern.startswith("/") else any(fnmatchcase(part, pattern) for part in parts)
        for pattern in patterns
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """One repository for all examples: making one takes longer than a commit."""
    return Repository.make(tmp_path_factory.mktemp("laws"))


@pytest.fixture
def small_scale() -> Iterator[None]:
    """Few layers, and files that are large at 64 bytes: every rule comes into play in a small tree."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code, "LARGE", LARGE)
        patch.setattr(code, "_SMALLEST_CLASS", LARGE.bit_length())
        patch.setattr(shards, "_MIN_FILES", 2)
        patch.setattr(budget, "FULL", Budget(4, 2))
        yield


STEADY = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def check_laws(shared: Repository, trees: list[Model], patterns: tuple[str, ...]) -> None:
    chosen = replace(ON_NOTHING, exclude=patterns)
    steps = [{**dict.fromkeys(before), **after} for before, after in zip([{}, *trees], trees, strict=False)]
    commits, growing = shared.history(*steps, orphan=True), MemoryStore()
    for commit, tree in zip(commits, trees, strict=True):
        image = build(shared.directory, growing, commit, chosen)
        told = {path: file for path, file in shared.files(commit).items() if not left_out(path, patterns)}
        assert told == {path: file for path, file in tree.items() if not left_out(path, patterns)}
        assert flatten(growing, image.digest) == told
        assert build(shared.directory, MemoryStore(), commit, chosen).digest == image.digest
        assert len(code_layers(image)) <= 6


@STEADY
@given(histories(), excludes)
def test_exact_and_incremental_is_as_from_scratch(
    shared: Repository, small_scale: None, trees: list[Model], patterns: tuple[str, ...]
) -> None:
    check_laws(shared, trees, patterns)


@pytest.mark.minutes
@settings(STEADY, max_examples=300)
@given(histories(), excludes)
def test_the_same_many_times(shared: Repository, small_scale: None, trees: list[Model], patterns: tuple[str, ...]) -> None:
    check_laws(shared, trees, patterns)


@settings(STEADY, max_examples=5)
@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_building_does_not_show(shared: Repository, small_scale: None, trees: list[Model], chance: random.Random) -> None:
    commits = shared.history(*({**dict.fromkeys(before), **after} for before, after in zip([{}, *trees], trees, strict=False)), orphan=True)
    expected = {commit: build(shared.directory, MemoryStore(), commit).digest for commit in commits}
    chance.shuffle(commits)
    store = MemoryStore()
    assert {commit: build(shared.directory, store, commit).digest for commit in commits} == expected


# --- one fact at a time ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(63, 64), (64, 63), (64, 128), (200, 10, 200), (10, 64, 63, 1000)])
def test_a_file_that_crosses_the_size_of_large_ones(shared: Repository, small_scale: None, sizes: tuple[int, ...]) -> None:
    steps = [{**numbered(20), "w.bin": bytes([number]) * size} for number, size in enumerate(sizes)]
    store = MemoryStore()
    for commit in shared.history(*steps, orphan=True):
        image = build(shared.directory, store, commit)
        assert flatten(store, image.digest) == shared.files(commit)
        assert image.digest == build(shared.directory, MemoryStore(), commit).digest


def test_a_large_file_that_moves_or_comes_twice_keeps_its_class(shared: Repository, small_scale: None) -> None:
    big = b"b" * 100
    store = MemoryStore()
    for commit in shared.history(
        {**numbered(20), "w.bin": big}, {"w.bin": None, "v.bin": big}, {"u.bin": big}, {"u.bin": None, "v.bin": None}, orphan=True
    ):
        assert build(shared.directory, store, commit).digest == build(shared.directory, MemoryStore(), commit).digest


def test_one_small_change_sends_one_small_layer(repository: Repository) -> None:
    repository.history({**numbered(400, size=400), "weights.bin": os.urandom(400_000)}, {"src/file3/3.py": b"changed"})
    store = MemoryStore()
    build(repository.directory, store, "main~1")
    image = build(repository.directory, store, "main")
    assert [layer.state for layer in image.layers].count("uploaded") == 1
    assert image.new_bytes < 20_000 < 400_000 < image.reused_bytes
    assert image.new_bytes + image.reused_bytes == sum(layer.size for layer in image.layers) + image.manifest.config.size


SETTINGS_THAT_SHOW = [
    {"workdir": "/app"},
    {"pythonpath": ("src",)},
    {"exclude": ("*.md",)},
    {"env": {"A": "1"}},
    {"source": "https://git.example/x"},
    {"submodules": "skip"},
    {"platform": "linux/arm64"},
]


@pytest.mark.parametrize("change", SETTINGS_THAT_SHOW, ids=lambda change: next(iter(change)))
def test_another_setting_is_another_image_with_a_tag_of_its_own(repository: Repository, change: dict[str, Any]) -> None:
    """On top of images that other settings made, and as from scratch."""
    repository.history({"a.py": b"1", "b.md": b"2"}, {"a.py": b"2"})
    other, store = replace(ON_NOTHING, **change), MemoryStore()
    plain = build(repository.directory, store, "main~1")
    first, second = build(repository.directory, store, "main"), build(repository.directory, store, "main", other)
    assert second.digest == build(repository.directory, MemoryStore(), "main", other).digest
    assert len({plain.digest, first.digest, second.digest}) == 3
    assert store.tags[first.commit.sha] == first.digest
    assert sorted(store.tags.values()) == sorted([plain.digest] * 2 + [first.digest] * 2 + [second.digest])


def test_a_parent_whose_image_held_other_files_tells_nothing_false_about_sizes(repository: Repository) -> None:
    """Made with `exclude`, the parent's image says nothing about the size of what it left out."""
    big = os.urandom(200_000)
    repository.history({**numbered(30), "w.bin": big}, {"src/file1/1.py": b"changed"})
    store = MemoryStore()
    build(repository.directory, store, "main~1", replace(ON_NOTHING, exclude=("*.bin",)))
    assert build(repository.directory, store, "main").digest == build(repository.directory, MemoryStore(), "main").digest


def test_a_merge_takes_layers_from_either_parent(repository: Repository) -> None:
    (base,) = repository.history(numbered(100))
    repository.git("branch", "side", base)
    (left,) = repository.history({"left.py": b"1"})
    (right,) = repository.history({"right.py": b"2"}, branch="side")
    tree = repository.text("merge-tree", "--write-tree", left, right)
    merge = repository.commit_tree(tree, left, right)
    for parent in (left, right):
        store = MemoryStore()
        build(repository.directory, store, parent)
        image = build(repository.directory, store, merge)
        assert image.digest == build(repository.directory, MemoryStore(), merge).digest
        assert image.previous is not None
        assert image.previous.annotations["org.opencontainers.image.revision"] == parent


def test_nothing_of_this_machine_shows(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other clone, working directory, remotes, time zone, umask, hash seed, user; in processes of their own."""
    repository.history(numbered(60), {"src/file1/1.py": b"changed", "link": "src"})
    ssh, https = clone(repository, tmp_path / "one"), clone(repository, tmp_path / "some where/else")
    ssh.git("remote", "set-url", "origin", "ssh://git@git.example/team/repo.git")
    https.git("remote", "set-url", "origin", "https://token:secret@git.example/team/repo")
    https.git("remote", "add", "fork", "https://git.example/ada/repo")
    (tmp_path / "elsewhere").mkdir()
    first = _in_a_process(ssh.directory, tmp_path, {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "1", "LC_ALL": "C"}, 0o077)
    second = _in_a_process(https.directory, tmp_path / "elsewhere", {"TZ": "America/Lima", "PYTHONHASHSEED": "2", "USER": "ada"}, 0o002)
    assert first == second
    assert first["digest"] == build(repository.directory, MemoryStore(), "main").digest
    for word in ("example", "secret", "ssh", str(tmp_path), "origin"):
        assert word not in first["text"]


def _in_a_process(repository: Path, cwd: Path, environment: dict[str, str], umask: int) -> dict[str, str]:
    script = """
import json, sys
from pathlib import Path
from tests.fixtures.images import build
from tests.fixtures.memory_store import MemoryStore
store = MemoryStore()
image = build(Path(sys.argv[1]), store)
config = store.blobs[image.manifest.config.digest]
print(json.dumps({"digest": image.digest, "text": repr(image.manifest.to_bytes() + config)}))
"""
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", script, repository],
        cwd=cwd,
        env=os.environ | path | environment,
        umask=umask,
        capture_output=True,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_every_layer_says_what_it_is(repository: Repository) -> None:
    repository.commit(numbered(300))
    image = build(repository.directory, store := MemoryStore(), "main")
    config = json.loads(store.blobs[image.manifest.config.digest])
    assert len(image.layers) > 10
    for layer, diff_id, line in zip(image.manifest.layers, config["rootfs"]["diff_ids"], config["history"], strict=True):
        said = layer.annotations
        assert set(said) == {"dev.builder.kind", "dev.builder.title", "dev.builder.diffid", "dev.builder.shard"}
        assert said["dev.builder.diffid"] == diff_id
        assert line["created_by"] == f"builder: code {said['dev.builder.title']}"
    assert Manifest.from_bytes(image.manifest.to_bytes()) == image.manifest


def test_settings_of_the_test_are_those_of_a_user() -> None:
    assert ImageSettings(base="scratch") == ON_NOTHING
