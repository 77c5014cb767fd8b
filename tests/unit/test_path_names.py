"""Names that no line holds: what is printed is one line, what is pasted or read back is the same name."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.model.path_names import in_json, shell_line, shell_word, shown
from tests.fixtures.repositories import Repository

NAMES = [
    b"plain.bin",
    b"with space",
    b"it's",
    b"two\nlines",
    b'w\n"e"\xff.bin',
    b"'\xfe",
    b'"quoted"',
    b"tab\tbell\a\x1b",
    b"back\\slash\n",
    "ü\u202e".encode(),
]


def names() -> st.SearchStrategy[bytes]:
    return st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name)


@given(name=names())
def test_bash_reads_back_what_is_shown_to_be_pasted(name: bytes) -> None:
    line = shell_word(os.fsdecode(name))
    assert "\n" not in line
    line.encode()
    assert subprocess.run(["bash", "-c", f"printf %s {line}"], capture_output=True, check=True).stdout == name


@given(name=names())
def test_one_line_that_can_be_printed(name: bytes) -> None:
    text = shown(os.fsdecode(name))
    assert text.isprintable()
    text.encode()


@pytest.mark.parametrize("name", NAMES)
def test_json_that_any_reader_keeps_and_git_reads_back(tmp_path: Path, name: bytes) -> None:
    """git itself says what the quoted form is, and takes it from a list of paths."""
    repository = Repository.make(tmp_path / "r")
    (tmp_path / "r").joinpath(os.fsdecode(name)).write_bytes(b"x")
    text = in_json(os.fsdecode(name))
    assert json.loads(json.dumps(text).encode("utf-8")) == text
    text.encode()
    quoted = text.startswith('"')
    assert quoted == (name.startswith(b'"') or b"\xff" in name or b"\xfe" in name)
    repository.git(
        "--literal-pathspecs", "add", "--pathspec-from-file=-", *([] if quoted else ["--pathspec-file-nul"]), stdin=os.fsencode(text)
    )
    assert repository.git("ls-files", "-z") == name + b"\0"
    if quoted:
        assert repository.git("-c", "core.quotePath=true", "ls-files").strip() == text.encode()


def test_a_line_of_words() -> None:
    assert shell_line(["git", "rm", "--", "a b", "c\nd"]) == r"git rm -- 'a b' $'c\nd'"
