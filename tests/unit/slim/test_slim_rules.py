"""Sizes and globs: what a person writes, and what it means. Git's own .gitignore is the reference."""

from __future__ import annotations

import os
import subprocess
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repo_slim.errors import AskedError
from repo_slim.oracle import Globs
from repo_slim.rules import Rules, parse_size
from tests.fixtures.repositories import CLEAN

NAMES = ("a", "b", "ab", "a.b", "c", "abc.d")
PARTS = (*NAMES, "*", "?", "a*", "*.b", "[ab]", "[!a]", "a?b", "*b*", "**")
globs = st.builds(
    lambda start, parts, end: start + "/".join(part for part, _ in groupby(parts)) + end,
    st.sampled_from(["", "/"]),
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
)
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1MB", 1_000_000), ("1m", 1 << 20), ("1MiB", 1 << 20), ("500kB", 500_000), ("1.5 GB", 1_500_000_000), ("12", 12), ("12B", 12)],
)
def test_a_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "1XB", "-1", "1 2"])
def test_no_size(text: str) -> None:
    with pytest.raises(AskedError, match="no size"):
        parse_size(text)


@pytest.mark.parametrize("glob", ["", "/", "//"])
def test_no_glob(glob: str) -> None:
    with pytest.raises(AskedError, match="no glob"):
        Rules(drop=(glob,)).said_of(b"a")


@pytest.mark.parametrize(
    ("glob", "matched", "others"),
    [
        ("*.ckpt", ["x.ckpt", "a/b/x.ckpt", "x.ckpt/inside"], ["x.ckpt2", "ckpt"]),
        ("/data/**", ["data/a", "data/a/b"], ["data", "x/data/a"]),
        ("outputs/", ["outputs/a", "x/outputs/a/b"], ["outputs", "x/outputs"]),
        ("a/**/b", ["a/b", "a/x/y/b", "a/b/c"], ["b", "x/a/b"]),
        ("?.bin", ["é.bin", "\udcff.bin", "new/x.bin"], ["ab.bin"]),
        ("x\ny", [], []),
    ],
)
def test_what_a_glob_matches(glob: str, matched: list[str], others: list[str]) -> None:
    if not matched:
        with pytest.raises(AskedError):
            Rules(drop=(glob,)).said_of(b"x")
        return
    for path in matched + others:
        raw = path.encode("utf-8", "surrogateescape")
        assert Rules(drop=(glob,)).said_of(raw)[0] == Globs((glob,)).match(raw) == (path in matched), path


@pytest.fixture(scope="module")
def ignoring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ignoring")
    subprocess.run(["git", "init", "--quiet", "--template=", str(directory)], check=True)
    return directory


def ignored(directory: Path, glob: str, wanted: list[str]) -> set[str]:
    (directory / "globs").write_text(glob + "\n")
    argv = ["git", "-c", "core.excludesFile=globs", "check-ignore", "--no-index", "--stdin", "-z"]
    stdin = "".join(f"{path}\0" for path in wanted).encode()
    done = subprocess.run(argv, cwd=directory, env={**os.environ, **CLEAN}, input=stdin, capture_output=True)
    assert done.returncode in (0, 1), done.stderr
    return set(done.stdout.decode().split("\0")) - {""}


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(glob=globs, wanted=st.lists(paths, min_size=20, max_size=40, unique=True))
def test_globs_mean_what_they_mean_to_git_and_to_the_oracle(ignoring: Path, glob: str, wanted: list[str]) -> None:
    rules, oracle = Rules(drop=(glob,)), Globs((glob,))
    expected = ignored(ignoring, glob, wanted)
    assert {path for path in wanted if rules.said_of(path.encode())[0]} == expected
    assert {path for path in wanted if oracle.match(path.encode())} == expected


def test_refs_that_are_protected() -> None:
    rules = Rules(protect=("refs/heads/*", "refs/tags/v?"))
    assert rules.protects("refs/heads/a/b") and not rules.protects("refs/tags/v1")  # only the star is special
