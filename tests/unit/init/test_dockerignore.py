"""A translated .dockerignore leaves out what Docker would ignore."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.image.exclude import Excludes
from builder.init.dockerignore import translate


def docker_ignores(lines: list[str], path: str) -> bool:
    """As moby/patternmatcher decides: the last pattern that matches the path or a directory above it."""
    parts = path.split("/")
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    ignored = False
    for line in lines:
        body = line.removeprefix("!").strip("/")
        regex = re.escape(body).replace(r"\*\*/", "(?:.*/)?").replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
        if any(re.fullmatch(regex, name) for name in above):
            ignored = not line.startswith("!")
    return ignored


NAMES = ["a", "b", "c.x", "d.x"]
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
bodies = st.lists(st.sampled_from([*NAMES, "*", "*.x", "?"]), min_size=1, max_size=3).map("/".join)
lines = st.tuples(st.sampled_from(["", "", "!"]), st.sampled_from(["", "", "/", "**/"]), bodies, st.sampled_from(["", "/"])).map("".join)


@settings(max_examples=400, deadline=None)
@given(st.lists(lines, min_size=1, max_size=6), st.lists(paths, min_size=1, max_size=10))
def test_docker_agrees(listed: list[str], tree: list[str]) -> None:
    found = translate("\n".join(listed))
    excludes = Excludes(found.patterns)
    translated = [line for line in listed if line not in found.left_out]
    if any(line in found.left_out and listed.count(line) > 1 for line in listed):
        return
    assert [path for path in tree if excludes.file(path.encode())] == [path for path in tree if docker_ignores(translated, path)]


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("# comment\n\n.git\n**/.git\nnode_modules\n", ("/node_modules",)),
        ("**/__pycache__\n*.md\n!README.md\n", ("/**/__pycache__", "/*.md", "!/README.md")),
        ("*\n!src\n", ("/*", "!/src", "!/src/**")),
        ("data\n!data/keep/\n", ("/data", "!/data/", "/data/*", "!/data/keep", "!/data/keep/**")),
        ("./a//b/\n", ("/a/b",)),
        ("\ufeffa\n", ("/a",)),
    ],
)
def test_examples(text: str, patterns: tuple[str, ...]) -> None:
    assert translate(text, ["README.md"]).patterns == patterns


def test_what_has_no_translation_is_named() -> None:
    assert translate("../x\na[\n!*/keep/x\n").left_out == ("../x", "a[", "!*/keep/x")
