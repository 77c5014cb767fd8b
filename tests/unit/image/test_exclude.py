"""image.exclude decides as git does."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.image.exclude import Excludes
from builder.model.globs import parse

NAMES = ["a", "b", "ab", "a.b", "x.bin", "data", "A", "[", "a]", "-", "é"]
PIECES = ["a", "b", "data", "x", ".bin", "*", "?", "[ab]", "[!a]", "[^x]", "[a-c]", "[]a]", "[c-a]", "\\*", "\\a", "-", "é", "."]

paths = st.lists(st.sampled_from(NAMES[:4]) | st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
ends = ["", "", "/"]


@st.composite
def patterns(draw: st.DrawFn, tree: list[str]) -> str:
    """A stretch of one of the paths, with some of its parts made vague."""
    parts = draw(st.sampled_from(tree)).split("/")
    start = draw(st.integers(0, len(parts) - 1))
    vague = st.sampled_from(["**", "*", "?"]) | st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join)
    kept = [draw(st.just(part) | st.just(part) | vague) for part in parts[start : start + draw(st.integers(1, 4))]]
    return draw(st.sampled_from(["", "", "!"])) + draw(st.sampled_from(ends)) + "/".join(kept) + draw(st.sampled_from(ends))


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    tree = draw(st.lists(paths, min_size=1, max_size=15))
    return tree, draw(st.lists(patterns(tree).filter(accepted), min_size=1, max_size=5))


def accepted(pattern: str) -> bool:
    try:
        parse(pattern)
    except ValueError:
        return False
    return True


def lay_out(root: Path, wanted: list[str]) -> list[str]:
    """Makes the files that can be made and returns them."""
    made = []
    for path in wanted:
        try:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch()
        except (FileExistsError, NotADirectoryError):
            continue
        if (root / path).is_file():
            made.append(path)
    return made


def git_excludes(root: Path, files: list[str]) -> set[str]:
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin", "-z"], cwd=root, input="\0".join(files).encode(), capture_output=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return {name for name in done.stdout.decode().split("\0") if name}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ignore")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(cases())
def test_git_agrees(repository: Path, case: tuple[list[str], list[str]]) -> None:
    wanted, listed = case
    with tempfile.TemporaryDirectory(dir=repository) as inner:
        root = Path(inner)
        files = lay_out(root, wanted)
        (root / ".gitignore").write_text("\n".join(listed) + "\n")
        excludes = Excludes(listed)
        assert {path for path in files if excludes.file(path.encode())} == git_excludes(root, files)


@pytest.mark.parametrize(
    ("listed", "gone", "stays"),
    [
        (["data/"], ["data/a", "x/data/a/b"], ["data", "x/data", "database/a"]),
        (["*.bin"], ["a.bin", "x/y.bin"], ["a.bin.txt"]),
        (["/docs"], ["docs", "docs/a/b"], ["x/docs"]),
        (["a/b"], ["a/b", "a/b/c"], ["x/a/b"]),
        (["**/cache/*.x"], ["cache/a.x", "a/b/cache/a.x"], ["cache/d/a.x"]),
        (["a/**"], ["a/b", "a/b/c"], ["a", "x/a/b"]),
        (["a/**/z"], ["a/z", "a/b/c/z"], ["az"]),
        (["*.bin", "!keep.bin"], ["a.bin"], ["keep.bin", "x/keep.bin"]),
        (["data/", "!data/keep"], ["data/keep"], []),  # as in git: below an excluded directory nothing comes back
        (["data/*", "!data/keep"], ["data/a"], ["data/keep"]),
        (["!a", "a"], ["a"], []),
        (["\\#a", "\\!b"], ["#a", "!b"], ["a", "b"]),
        (["a b"], ["a b"], ["a", "ab"]),
        ([], [], ["a"]),
    ],
)
def test_examples(listed: list[str], gone: list[str], stays: list[str]) -> None:
    excludes = Excludes(listed)
    assert [path for path in gone if not excludes.file(path.encode())] == []
    assert [path for path in stays if excludes.file(path.encode())] == []
    assert bool(excludes) == bool(listed)


def test_names_that_are_not_utf8() -> None:
    excludes = Excludes(["*.bin", "é?"])
    assert excludes.file(b"\xff\n/\xfe.bin")
    assert excludes.file("é".encode() + b"\xff")


@pytest.mark.parametrize(
    "pattern", ["", "!", "/", "a//b", "./a", "../a", "#a", "a**", "a/b**/c", "[a", "[", "a\\", "[[:digit:]]", "a\nb", "a\0"]
)
def test_spellings_that_git_reads_in_surprising_ways_are_refused(pattern: str) -> None:
    assert not accepted(pattern)


def test_a_deep_path_does_not_exhaust_the_stack() -> None:
    assert Excludes(["z"]).file(b"/".join([b"a"] * 20_000) + b"/z")


def test_a_hundred_thousand_paths_are_quick() -> None:
    excludes = Excludes(["data/", "*.bin", "/docs", "!keep.bin", "**/cache/*.x", "a/**/b", *(f"*.{n}" for n in "abcdefghijkl")])
    tree = [b"package%d/module%d/file%d.py" % (n % 50, n % 1000, n) for n in range(100_000)]
    started = time.process_time()
    assert not any(excludes.file(path) for path in tree)
    assert time.process_time() - started < 2
