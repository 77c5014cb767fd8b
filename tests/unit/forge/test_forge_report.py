"""Which statuses a build sets, and which pull requests it comments on; that doing it again changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from builder.errors import ForgeError
from builder.forge import report
from builder.forge.here import Here
from builder.forge.interface import Status
from builder.forge.report import Build, tell
from builder.forge.wording import Cost, Outcome
from tests.fixtures.github import FakeForge, GitHubState, PullRequest

SHAS = [f"{number:040x}" for number in range(1, 90)]
"""Oldest first."""
DIGEST = f"sha256:{'d' * 64}"
HERE = Here("circleci", SHAS[9], "topic", link="https://ci.example.org/7")


def made(sha: str) -> Outcome:
    return Outcome(sha, DIGEST, Cost(1000, 0.2))


def store(*shas: str) -> Callable[[str], Outcome]:
    return lambda sha: Outcome(sha, DIGEST) if sha in shas else Outcome(sha, why="none yet", waits=True)


@pytest.fixture
def forge() -> FakeForge:
    return FakeForge(GitHubState(commits=set(SHAS), pulls={7: PullRequest(7, "topic", [(sha, "Change") for sha in SHAS[5:10]])}))


def build(*outcomes: Outcome, head: int = 9, here: Here = HERE, has: tuple[str, ...] = tuple(SHAS)) -> Build:
    ordered = {outcome.sha: outcome for outcome in outcomes}
    return Build(ordered, reversed(SHAS[: head + 1]), here, store(*has))


def said(forge: FakeForge) -> dict[str, str]:
    return {sha: forge.state.described(sha)[1] for sha in SHAS if forge.state.statuses.get(sha)}


def test_each_commit_that_was_made_gets_a_status_and_the_pull_request_a_comment(forge: FakeForge) -> None:
    forge.set_status(SHAS[7], Status("success", "before"))
    told = tell(forge, build(made(SHAS[9]), made(SHAS[8])))
    assert (told.statuses, told.unknown, told.comments) == (2, (), {7: "created"})
    assert said(forge) == {SHAS[7]: "before", SHAS[8]: f"1.0 kB, 0.2 s · {DIGEST}", SHAS[9]: f"1.0 kB, 0.2 s · {DIGEST}"}
    assert forge.status(SHAS[9]).link == "https://ci.example.org/7"  # type: ignore[union-attr]
    assert all(sha in forge.state.texts(7)[0] for sha in SHAS[5:10])


def test_again_changes_nothing(forge: FakeForge) -> None:
    broken = Outcome(SHAS[6], why="not TOML")
    tell(forge, build(made(SHAS[9]), broken))
    before = str(forge.state.statuses), str(forge.state.comments)
    told = tell(forge, build(broken, has=tuple(sha for sha in SHAS if sha != SHAS[6])))
    assert (told.statuses, told.comments) == (0, {7: "same"})
    assert (str(forge.state.statuses), str(forge.state.comments)) == before


def test_images_that_no_build_told_of_are_told(forge: FakeForge) -> None:
    """A build was killed between making and telling; below that everything is said."""
    forge.set_status(SHAS[5], Status("success", "before"))
    told = tell(forge, build(made(SHAS[9])))
    assert told.statuses == 4
    assert said(forge)[SHAS[6]] == f"was there · {DIGEST}"


def test_a_commit_that_has_an_image_at_last_is_green(forge: FakeForge) -> None:
    forge.set_status(SHAS[9], Status("failure", "no image: not TOML"))
    tell(forge, build())
    assert forge.state.described(SHAS[9]) == ("success", f"was there · {DIGEST}")


def test_nothing_is_said_of_what_is_older_than_all_images(forge: FakeForge) -> None:
    tell(forge, build(made(SHAS[9]), has=(SHAS[8],)))
    assert set(said(forge)) == {SHAS[8], SHAS[9]}


def test_commits_without_an_image_are_named_with_the_reason(forge: FakeForge) -> None:
    tell(forge, build(made(SHAS[9]), Outcome(SHAS[8], why="not TOML"), has=()))
    assert forge.state.described(SHAS[8]) == ("failure", "no image: not TOML")
    assert "none: `not TOML`" in forge.state.texts(7)[0]
    assert "none: `none yet`" in forge.state.texts(7)[0]


def test_a_first_build_sets_the_newest_statuses_only(forge: FakeForge) -> None:
    told = tell(forge, build(*(made(sha) for sha in reversed(SHAS)), head=88))
    assert told.statuses == report.STATUSES
    assert set(said(forge)) == set(SHAS[-report.STATUSES :])


def test_commits_that_were_not_pushed(forge: FakeForge) -> None:
    forge.state.commits.remove(SHAS[9])
    told = tell(forge, build(made(SHAS[9]), made(SHAS[8])))
    assert told.unknown == (SHAS[9],)
    assert SHAS[8] in said(forge)


@pytest.mark.parametrize(
    ("here", "numbers"),
    [
        (HERE, [7]),
        (replace(HERE, branch="other"), []),
        (replace(HERE, branch="", pull=8, fork=True), [8]),
        (replace(HERE, branch="", tag="v1"), [7]),
        (Here(), []),
        (Here("jenkins"), []),
    ],
)
def test_which_pull_requests(forge: FakeForge, here: Here, numbers: list[int]) -> None:
    forge.state.pulls[8] = PullRequest(8, "topic", [(SHAS[20], "Theirs")], home="fork/agent")
    assert list(tell(forge, build(made(SHAS[9]), here=here)).comments) == numbers


def test_an_error_goes_up(forge: FakeForge) -> None:
    forge.broken = True
    with pytest.raises(ForgeError):
        tell(forge, build(made(SHAS[9])))
