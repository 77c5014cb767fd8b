"""Scores side by side, and which differences mean something."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.cli.comparing import change_words, value_words
from builder.data.ledger import Ledger
from builder.model.oci import Descriptor, Manifest
from builder.runs.comparing import Change, Layers, Side, change_between, compare_layers, compare_scores, of_commit, summary_of
from builder.runs.history import Filter, Seen, runs_of
from tests.fixtures.records import root, write_run

SHA, OTHER = "a" * 40, "b" * 40


def runs(tmp_path: Path, commit: str = SHA) -> list[Seen]:
    return runs_of(Ledger(root(tmp_path)), Filter(commit=commit))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ([0.5], [0.6], "+0.1000"),
        ([0.5], [0.5], "+0.0000"),
        ([0.5, 0.5], [0.5], "+0.0000"),
        ([0.4, 0.6], [0.6], "~+0.1000"),
        ([0.5], [0.3, 0.5], "~-0.1000"),
        ([0.4, 0.6], [0.8, 0.9], "+0.3500"),
        ([], [0.5], ""),
        ([0.5], [], ""),
    ],
)
def test_a_difference_inside_the_spread_is_marked(before: list[float], after: list[float], words: str) -> None:
    assert change_words(change_between(summary_of(before), summary_of(after))) == words


def test_several_runs_have_their_number_and_range() -> None:
    assert [value_words(summary_of(values)) for values in ([], [0.5], [0.4, 0.6])] == ["-", "0.5000", "0.5000 (n=2, 0.4000..0.6000)"]


def test_runs_of_a_commit_that_did_the_same(tmp_path: Path) -> None:
    write_run(root(tmp_path), "one", at=0, scores={"click": 0.4})
    write_run(root(tmp_path), "two", at=100, scores={"click": 0.6})
    write_run(root(tmp_path), "tuned", at=200, overrides=["lr=1"], values={"lr": 1})
    write_run(root(tmp_path), "failed", "failed", at=300)
    write_run(root(tmp_path), "other", commit=OTHER, at=400, scores={"click": 0.55, "type": None})
    side = of_commit("HEAD", SHA, runs(tmp_path))
    assert ([seen.run for seen in side.runs], side.left_out) == (["two", "one"], 1)
    other = of_commit("main", OTHER, runs(tmp_path, OTHER))
    loss, click = compare_scores([side, other])
    assert (loss.metric, loss.changes[1]) == ("loss", Change(0.0, within=False))
    assert (click.metric, click.changes[1]) == ("click", Change(pytest.approx(0.05), within=True))  # type: ignore[arg-type]
    assert of_commit("x", "c" * 40, ()) == Side("x", "c" * 40)


def test_what_ran_with_other_values_only_is_compared_as_it_is(tmp_path: Path) -> None:
    write_run(root(tmp_path), "tuned", overrides=["lr=1"], values={"lr": 1})
    write_run(root(tmp_path), "tuned-more", at=10, overrides=["lr=2"], values={"lr": 2})
    side = of_commit("HEAD", SHA, runs(tmp_path))
    assert ([seen.run for seen in side.runs], side.left_out) == (["tuned-more"], 1)


def manifest(*layers: tuple[str, int]) -> Manifest:
    return Manifest(Descriptor("config", "sha256:0", 1), tuple(Descriptor("layer", digest, size) for digest, size in layers))


def test_layers_that_the_first_image_does_not_have() -> None:
    first, second = manifest(("a", 10), ("b", 5)), manifest(("a", 10), ("c", 7), ("d", 1))
    assert compare_layers([first, second, None]) == (Layers(2, 15, 0, 0), Layers(3, 18, 2, 8), None)
