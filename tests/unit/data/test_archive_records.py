"""What several slimmings wrote down of one commit."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator

import pytest

from builder.data.archive import COMMITS, lost

A, B, C = "a" * 40, "b" * 40, "c" * 40
FILE: dict[str, object] = {"kind": "blob", "blob": "1" * 40, "sha256": "1" * 64, "size": 10, "gone": True}
PLACEHOLDER: dict[str, object] = {"kind": "blob", "blob": "2" * 40, "sha256": "2" * 64, "size": 2, "gone": True}
CONTENT: dict[str, object] = {"kind": "lfs", "blob": "", "sha256": "3" * 64, "size": 30, "gone": True}


class Written:
    """Runs, each with what it made of which commit, and what it kept."""

    def __init__(self, runs: dict[str, tuple[dict[str, object], list[dict[str, object]]]]) -> None:
        self._runs = runs

    def runs(self) -> Iterator[str]:
        yield from self._runs

    def read(self, run: str, name: str) -> bytes:
        line, entries = self._runs[run]
        return lines([line] if name == COMMITS else entries)


def lines(values: Iterable[object]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def made(old: str, new: str, *gone: list[str]) -> dict[str, object]:
    return {"old": old, "new": new, "parent": "", "gone": list(gone)}


@pytest.mark.parametrize("first", ["plain", "with content"])
def test_two_slimmings_of_one_history_add_up(first: str) -> None:
    """One of them was made before the LFS objects were found, and gave the same names."""
    one = made(A, B, ["x.bin", "1" * 40]), [FILE]
    other = made(A, B, ["x.bin", "1" * 40]), [FILE, CONTENT]
    runs = {"0": one, "1": other} if first == "plain" else {"0": other, "1": one}
    found = lost(B, [Written(runs)])
    assert found.objects == {"3" * 64: 30}
    assert [(file.path, file.sha256) for file in found.files] == [("x.bin", "1" * 64)]
    assert found.was == A


@pytest.mark.parametrize("order", [*itertools.permutations("012")])
def test_slimmed_at_once_and_in_two_steps(order: tuple[str, ...]) -> None:
    """The oldest name, and what was there at first, in whatever order the runs are named."""
    in_one = made(A, C, ["x.bin", "1" * 40]), [FILE]
    first = made(A, B, ["x.bin", "1" * 40]), [FILE]
    second = made(B, C, ["x.bin", "2" * 40]), [PLACEHOLDER]
    found = lost(C, [Written(dict(zip(order, (in_one, first, second), strict=True)))])
    assert found.was == A
    assert [file.sha256 for file in found.files] == ["1" * 64]


def test_a_slimming_that_left_the_commit_as_it_is() -> None:
    found = lost(B, [Written({"0": (made(B, B), []), "1": (made(A, B), [CONTENT])})])
    assert (found.was, found.objects) == (A, {"3" * 64: 30})
