"""Statuses and the comment: what they say, how long they get, and what hostile subjects do to them."""

from __future__ import annotations

import re

import pytest

from builder.forge.interface import Pull
from builder.forge.wording import MARKER, ROWS, Cost, Outcome, comment_of, memory_of, status_of

ONE, TWO, THREE = (digit * 40 for digit in "123")
DIGEST, OTHER = f"sha256:{'d' * 64}", f"sha256:{'e' * 64}"
MADE = Outcome(ONE, DIGEST, Cost(1_200_000, 0.4), run=("builder finetune@1111111", "builder train@1111111"))


def test_a_commit_with_a_new_image() -> None:
    status = status_of(MADE, "https://ci.example.org/7")
    assert (status.state, status.link) == ("success", "https://ci.example.org/7")
    assert status.text == f"1.2 MB, 0.4 s · builder finetune@1111111 · {DIGEST}"


def test_a_commit_whose_image_was_there() -> None:
    assert status_of(Outcome(ONE, DIGEST, run=MADE.run), "").text == f"was there · builder finetune@1111111 · {DIGEST}"


@pytest.mark.parametrize(("waits", "state"), [(False, "failure"), (True, "pending")])
def test_a_commit_without_one(waits: bool, state: str) -> None:
    status = status_of(Outcome(ONE, why="builder.toml: line 3:\nnot TOML\x1b[2J", waits=waits), "")
    assert (status.state, status.text) == (state, "no image: builder.toml: line 3: not TOML [2J")


def test_no_status_is_longer_than_github_takes() -> None:
    longest = Outcome(ONE, DIGEST, Cost(999_900_000_000, 3540.0), run=(f"builder {'f' * 22}@{'1' * 12}",))
    assert len(status_of(longest, "").text) <= 140
    assert len(status_of(Outcome(ONE, why="x" * 500), "").text) == 140


def test_the_comment_names_the_newest_first() -> None:
    outcomes = {ONE: MADE, TWO: Outcome(TWO, OTHER), THREE: Outcome(THREE, why="not TOML")}
    text = comment_of(Pull(7, ((ONE, "First"), (TWO, "Second"), (THREE, "Third"))), outcomes, "")
    assert text.startswith(MARKER)
    assert re.findall(r"^\| (\d)", text, re.MULTILINE) == ["3", "2", "1"]
    assert f"| {ONE} | `First` | `{DIGEST}` | 1.2 MB, 0.4 s | `builder finetune@1111111`<br>`builder train@1111111` |" in text
    assert f"| {TWO} | `Second` | `{OTHER}` | was there |  |" in text
    assert f"| {THREE} | `Third` | none: `not TOML` | | |" in text


def test_the_line_to_paste_is_of_the_newest_image() -> None:
    outcomes = {ONE: MADE, TWO: Outcome(TWO, why="not TOML")}
    assert "Run its newest image: `builder finetune@1111111`" in comment_of(Pull(7, ((ONE, "a"), (TWO, "b"))), outcomes, "")
    nothing = {TWO: outcomes[TWO]}
    assert "No commit of this pull request has an image yet." in comment_of(Pull(7, ((TWO, "b"),)), nothing, "")


def test_what_an_image_took_is_remembered() -> None:
    """The next build finds it in the store, which does not know."""
    pull = Pull(7, ((ONE, "First"), (TWO, "Second")))
    first = comment_of(pull, {ONE: MADE, TWO: Outcome(TWO, why="later")}, "")
    found = {ONE: Outcome(ONE, DIGEST, run=MADE.run), TWO: Outcome(TWO, OTHER, Cost(7, 0.2))}
    second = comment_of(pull, found, first)
    assert "1.2 MB, 0.4 s" in second
    assert comment_of(pull, {**found, TWO: Outcome(TWO, OTHER)}, second) == second


def test_what_another_image_took_is_forgotten() -> None:
    pull = Pull(7, ((ONE, "First"),))
    first = comment_of(pull, {ONE: MADE}, "")
    assert "1.2 MB" not in comment_of(pull, {ONE: Outcome(ONE, OTHER)}, first)


@pytest.mark.parametrize(
    "memory",
    [
        "",
        "{}",
        "{",
        "[]",
        '{"x": 1}',
        f'{{"{ONE}": 1}}',
        f'{{"{ONE}": ["{DIGEST}", "x", 1]}}',
        f'{{"{ONE}": ["{DIGEST}", 1e999, 1]}}',
        '{"a":' * 9999,
    ],
)
def test_a_memory_that_makes_no_sense(memory: str) -> None:
    assert memory_of(f"{MARKER}\n<!-- {memory} -->\n") == {}


@pytest.mark.parametrize(
    "subject",
    [
        "@team look",
        "a | b | c",
        "`x` | @team",
        "<img src=x onerror=alert(1)>",
        "--> hidden",
        "a\nb\n| c |",
        "[x](javascript:1)",
        "closes #1",
        "\\`@team\\`",
    ],
)
def test_a_subject_means_nothing(subject: str) -> None:
    """It stays in one cell, as code: no mention, no mark-up, no end of the comment that hides our memory."""
    text = comment_of(Pull(7, ((ONE, subject),)), {ONE: Outcome(ONE, why=subject)}, "")
    (row,) = [line for line in text.splitlines() if line.startswith(f"| {ONE}")]
    cells = re.split(r"(?<!\\)\|", row)
    assert len(cells) == 7
    assert re.fullmatch(r" `[^`]*` ", cells[2])
    assert re.fullmatch(r" none: `[^`]*` ", cells[3])
    assert text.splitlines()[1] == "<!-- {} -->"


def test_a_long_pull_request_is_cut() -> None:
    commits = tuple((f"{number:040x}", f"Change {number}") for number in range(60))
    outcomes = {sha: Outcome(sha, DIGEST, Cost(1, 1.0), run=("builder finetune@x",)) for sha, _ in commits[-ROWS:]}
    text = comment_of(Pull(7, commits), outcomes, "")
    assert text.count("| `Change") == ROWS
    assert text.endswith("40 older commits are not listed.")
    assert len(text) < 65_536 / 2
