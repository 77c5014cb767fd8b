"""`builder image --report` from end to end: a push, a build, and what the forge then says of each commit and of the pull request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fixtures.builds import Builds, Built
from tests.fixtures.github import READ_TOKEN, REPOSITORY, STRANGER, TOKEN, GitHubState, PullRequest, github_on
from tests.fixtures.registry_auth import Auth
from tests.fixtures.registry_server import RegistryServer, Status
from tests.fixtures.repositories import at_nobodys_home  # noqa: F401

pytestmark = pytest.mark.usefixtures("at_home")


@dataclass
class Project:
    """A repository at the forge, with a branch `topic` and its pull request 7."""

    builds: Builds
    forge: GitHubState

    def push(self, count: int = 1, **change: bytes) -> list[str]:
        """So many commits on the branch, which the forge then has."""
        made = self.builds.commit(count, "topic", change={name.replace("_", "."): data for name, data in change.items()})
        self.builds.push("topic", force=True)
        return self.known(made)

    def known(self, commits: list[str]) -> list[str]:
        self.forge.commits |= set(commits)
        listed = self.builds.work.text("log", "--format=%H %s", "--reverse", "main..topic").splitlines()
        self.forge.pulls[7] = PullRequest(7, "topic", [(line[:40], line[41:]) for line in listed])
        return commits

    def build(self, *words: str, branch: str = "topic", **environ: str) -> Built:
        said = {"CIRCLECI": "true", "CIRCLE_BRANCH": branch, "CIRCLE_SHA1": self.builds.work.text("rev-parse", branch)}
        said |= {"CIRCLE_BUILD_URL": "https://ci.example.org/7", "GITHUB_TOKEN": TOKEN}
        return self.builds.build(branch, "--report", *words, environ={**said, **environ})

    def said(self, sha: str) -> tuple[str, str]:
        return self.forge.described(sha)

    @property
    def comment(self) -> str:
        (text,) = self.forge.texts(7)
        return text


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, registry: RegistryServer, capsys: pytest.CaptureFixture[str]) -> Iterator[Project]:
    with github_on("127.0.0.1") as forge:
        builds = Builds.make(tmp_path, str(registry.repository()), capsys.readouterr)
        toml = (
            f'[image]\nbase = "scratch"\n[flow.finetune]\ncommand = ["true"]\n[forge]\nurl = "{forge.api}"\nrepository = "{REPOSITORY}"\n'
        )
        main = builds.commit(2, change={"builder.toml": toml.encode()})
        builds.branch("topic", "main")
        builds.push("main")
        assert builds.build().code == 0
        project = Project(builds, forge)
        project.forge.commits |= set(main)
        yield project


def test_a_push_to_a_pull_request(project: Project) -> None:
    commits = project.push(2)
    built = project.build()
    assert (built.code, built.commits) == (0, commits)
    assert re.search(r"^reported: 4 statuses; the comment on pull request 7: created$", built.err, re.MULTILINE)
    images = {image["commit"]: image for image in json.loads(built.out)}
    for sha in commits:
        state, text = project.said(sha)
        assert state == "success"
        assert re.fullmatch(rf"[\d.]+ k?B, [\d.]+ m?s · builder finetune@{sha[:7]} · {images[sha]['digest']}", text)
        assert f"| {sha} | " in project.comment
        assert f"`{images[sha]['digest']}`" in project.comment
    assert project.comment.count("| `builder finetune@") == 2
    assert f"Run its newest image: `builder finetune@{commits[-1][:7]}`" in project.comment
    assert project.forge.statuses[commits[0]][0]["target_url"] == "https://ci.example.org/7"
    assert set(project.forge.wrote("POST")) == {
        *(f"POST /repos/{REPOSITORY}/statuses/{sha}" for sha in project.forge.commits),
        f"POST /repos/{REPOSITORY}/issues/7/comments",
    }


def test_the_same_build_again_says_nothing_new(project: Project) -> None:
    project.push(2)
    project.build()
    before = project.comment, str(project.forge.statuses)
    project.forge.calls.clear()
    built = project.build()
    assert "reported: 0 statuses; the comment on pull request 7: same" in built.err
    assert (project.comment, str(project.forge.statuses)) == before
    assert not [call for call in project.forge.calls if not call.startswith("GET")]


def test_the_next_push_updates_the_comment(project: Project) -> None:
    (one,) = project.push()
    project.build()
    cost = project.said(one)[1].partition(" · ")[0]
    (two,) = project.push()
    built = project.build()
    assert "reported: 1 status; the comment on pull request 7: updated" in built.err
    assert re.findall(r"^\| (\w{40}) ", project.comment, re.MULTILINE) == [two, one]
    assert f"| {cost} | `builder finetune@{one[:7]}`" in project.comment


def test_a_commit_without_an_image_is_named_with_the_reason(project: Project) -> None:
    (broken,) = project.push(builder_toml=b"[image\n")
    built = project.build()
    assert built.code != 0
    toml = project.builds.work.git("show", "main:builder.toml")
    (mended,) = project.push(builder_toml=toml)
    built = project.build()
    state, text = project.said(broken)
    assert state == "failure"
    assert text.startswith("no image: builder.toml of commit")
    assert f"| {broken} | `Change 0` | none: `builder.toml of commit" in project.comment
    assert project.said(mended)[0] == "success"


def test_what_was_made_before_a_failure_is_told(project: Project, registry: RegistryServer) -> None:
    commits = project.push(4)
    registry.fault(lambda request: request.method == "PUT" and commits[2] in request.path, Status(400), times=99)
    assert project.build().code == 1
    assert [project.said(sha)[0] for sha in commits] == ["success", "success", "", ""]
    registry._faults.clear()
    assert project.build().code == 0
    assert [project.said(sha)[0] for sha in commits] == ["success"] * 4


def test_images_that_a_killed_build_made_are_told_by_the_next(project: Project) -> None:
    """It died before it told anybody."""
    commits = project.push(3)
    assert project.builds.build(commits[1]).code == 0
    built = project.build()
    assert built.commits == commits[2:]
    assert [project.said(sha)[0] for sha in commits] == ["success"] * 3
    assert project.said(commits[0])[1].startswith(f"was there · builder finetune@{commits[0][:7]} · sha256:")


def test_a_merge_and_its_second_parents(project: Project) -> None:
    topic = project.push(2)
    merge = project.builds.merge("topic")
    project.builds.push("main")
    project.known([merge])
    built = project.build(branch="main")
    assert built.commits == [merge]
    assert project.said(merge)[0] == "success"
    assert [project.said(sha) for sha in topic] == [("", ""), ("", "")]


def test_one_commit_on_demand(project: Project) -> None:
    commits = project.push(3)
    job = project.builds.checkout("topic")
    built = project.builds.run_in(job, "--commit", commits[1], "--report", environ={"GITHUB_TOKEN": TOKEN})
    assert built.code == 0
    assert [project.said(sha)[0] for sha in commits] == ["", "success", ""]
    assert project.forge.texts(7) == []  # nobody says which build this is


@pytest.mark.parametrize("token", ["", READ_TOKEN, "ghp_nonsense"])
def test_a_report_that_fails_is_a_warning(project: Project, token: str) -> None:
    commits = project.push()
    built = project.build(GITHUB_TOKEN=token)
    assert (built.code, built.commits) == (0, commits)
    assert "warning: not reported: " in built.err
    assert not token or token not in built.err
    assert project.forge.texts(7) == []


def test_a_forge_that_is_away_is_a_warning(project: Project) -> None:
    commits = project.push()
    project.forge.trouble += [("", (404, {}, {"message": "Not Found"}))] * 9
    built = project.build()
    assert (built.code, built.commits) == (0, commits)
    assert "warning: not reported: cannot set the status of" in built.err
    assert "is the repository's name right?" in built.err


def test_the_token_is_in_no_output(project: Project) -> None:
    project.push()
    built = project.build("-v")
    assert TOKEN not in built.out + built.err + project.comment + str(project.forge.statuses)


def test_somebody_elses_comment_with_our_mark_is_left_alone(project: Project) -> None:
    project.push()
    project.build()
    theirs = project.comment.replace("builder finetune@", "builder finetune@evil")
    project.forge.comments[7] = []
    project.forge.comment(7, theirs, STRANGER)
    project.build()
    assert project.forge.texts(7)[0] == theirs
    assert len(project.forge.texts(7)) == 2


def test_a_pull_request_of_a_fork_whose_images_cannot_be_made(project: Project, registry: RegistryServer) -> None:
    """With a token that may write, which some give to builds of forks."""
    (commit,) = project.push()
    registry.auth = Auth("bearer", users={"ci": "secret"}, anonymous_pull=True)
    fork = {"CIRCLE_PR_USERNAME": "mallory", "CIRCLE_PR_NUMBER": "7"}
    built = project.build(**fork)
    assert (built.code, built.commits) == (0, [])
    assert project.said(commit) == ("pending", "no image: the build of a fork has no credentials; a maintainer can make it")
    assert "No commit of this pull request has an image yet." in project.comment


@pytest.mark.parametrize("words", [("--dirty",), ("--dry-run",)])
def test_what_it_does_not_go_with(project: Project, words: tuple[str, ...]) -> None:
    built = project.builds.run_in(project.builds.work, "--report", *words)
    assert built.code == 2
    assert "--report" in built.err


def test_what_a_job_says_wrongly_of_itself_is_named(project: Project) -> None:
    """And counts as not said: the statuses are set all the same."""
    (sha,) = project.push()
    built = project.build(BUILDER_CI="jenkins", BUILDER_CI_SHA="nonsense", BUILDER_CI_PULL="abc")
    assert built.code == 0
    assert "warning: BUILDER_CI_SHA is 'nonsense': expected the 40 hexadecimal digits of a commit; it is left out" in built.err
    assert "warning: BUILDER_CI_PULL is 'abc': expected the number of a pull request" in built.err
    assert project.said(sha)[0] == "success"
