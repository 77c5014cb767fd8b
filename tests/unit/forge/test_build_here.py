"""What CI systems say of a build, as their documentation has it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builder.forge.here import Here, where_we_are

SHA, HEAD = "a" * 40, "b" * 40
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SHA": SHA,
    "GITHUB_REF_TYPE": "branch",
    "GITHUB_REF_NAME": "topic",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "team/agent",
    "GITHUB_RUN_ID": "77",
    "GITHUB_API_URL": "https://api.github.com",
    "GITHUB_EVENT_PATH": "event.json",
    "GITHUB_ACTOR": "ada",
}
CIRCLE = {
    "CIRCLECI": "true",
    "CIRCLE_SHA1": SHA,
    "CIRCLE_BRANCH": "topic",
    "CIRCLE_BUILD_URL": "https://circleci.com/gh/team/agent/7",
    "CIRCLE_USERNAME": "ada",
}
LINK = "https://github.com/team/agent/actions/runs/77"


def here(environ: dict[str, str], event: object = None) -> Here:
    return where_we_are(environ, lambda path: json.dumps(event or {}).encode())


def pull(home: object) -> dict[str, Any]:
    return {"pull_request": {"number": 12, "head": {"sha": HEAD, "ref": "topic", "repo": home}}}


def test_a_machine_of_a_person_is_none() -> None:
    assert here({"HOME": "/home/ada", "CI": "true"}) == Here()


class TestGitHub:
    def test_a_push(self) -> None:
        expected = Here("github", SHA, "topic", link=LINK, api="https://api.github.com", repository="team/agent", who="ada")
        assert here(GITHUB, {"ref": "refs/heads/topic"}) == expected

    def test_a_tag(self) -> None:
        found = here({**GITHUB, "GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": "v1"})
        assert (found.branch, found.tag, found.pull, found.fork) == ("", "v1", 0, False)

    def test_a_pull_request_is_of_its_head_and_not_of_the_merge(self) -> None:
        found = here({**GITHUB, "GITHUB_REF_NAME": "12/merge"}, pull({"full_name": "Team/Agent"}))
        assert (found.sha, found.branch, found.pull, found.fork, found.who) == (HEAD, "topic", 12, False, "ada")

    @pytest.mark.parametrize("home", [{"full_name": "mallory/agent"}, None, {}, "text"])
    def test_a_fork(self, home: object) -> None:
        found = here({**GITHUB, "GITHUB_REF_NAME": "12/merge"}, pull(home))
        assert (found.sha, found.branch, found.pull, found.fork) == (HEAD, "", 12, True)

    @pytest.mark.parametrize("data", [b"", b"no json", b"[1]", b"[" * 100_000, b'{"pull_request": 3}'])
    def test_an_event_that_says_nothing(self, data: bytes) -> None:
        assert where_we_are(GITHUB, lambda path: data).branch == "topic"

    def test_an_event_that_cannot_be_read(self) -> None:
        def read(path: str) -> bytes:
            raise PermissionError(path)

        assert where_we_are(GITHUB, read).sha == SHA

    @pytest.mark.parametrize("head", [{}, None, {"sha": None}])
    def test_a_pull_request_without_a_head(self, head: object) -> None:
        found = here(GITHUB, {"pull_request": {"number": "12", "head": head}})
        assert (found.sha, found.pull, found.fork) == (SHA, 0, True)


class TestCircleCI:
    def test_a_push(self) -> None:
        assert here(CIRCLE) == Here("circleci", SHA, "topic", link="https://circleci.com/gh/team/agent/7", who="ada")

    def test_a_tag(self) -> None:
        found = here({**CIRCLE, "CIRCLE_TAG": "v1", "CIRCLE_BRANCH": ""})
        assert (found.branch, found.tag) == ("", "v1")

    @pytest.mark.parametrize("name", ["CIRCLE_PULL_REQUEST", "CIRCLE_PULL_REQUESTS"])
    def test_a_pull_request(self, name: str) -> None:
        found = here({**CIRCLE, name: "https://github.com/team/agent/pull/12" + (",https://x/13" if name.endswith("S") else "")})
        assert (found.branch, found.pull, found.fork) == ("topic", 12, False)

    @pytest.mark.parametrize("name", ["CIRCLE_PR_USERNAME", "CIRCLE_PR_REPONAME"])
    def test_a_fork(self, name: str) -> None:
        found = here({**CIRCLE, name: "mallory", "CIRCLE_PR_NUMBER": "12", "CIRCLE_BRANCH": "pull/12"})
        assert (found.branch, found.pull, found.fork) == ("", 12, True)


class TestAnyOther:
    def test_what_a_job_says_itself(self) -> None:
        said = {"SHA": SHA, "BRANCH": "topic", "LINK": "https://ci.example.org/7", "PULL": "12", "WHO": "ada"}
        environ = {"BUILDER_CI": "jenkins", **{f"BUILDER_CI_{name}": value for name, value in said.items()}}
        assert here({**environ, **GITHUB}) == Here("jenkins", SHA, "topic", pull=12, link="https://ci.example.org/7", who="ada")

    def test_a_fork_has_no_branch_here(self) -> None:
        found = here({"BUILDER_CI": "jenkins", "BUILDER_CI_BRANCH": "main", "BUILDER_CI_FORK": "true"})
        assert (found.branch, found.fork) == ("", True)

    @pytest.mark.parametrize("text", ["no", "12a", "-1", "9" * 30, "./."])
    def test_what_is_no_number(self, text: str) -> None:
        found = here({"BUILDER_CI": "x", "BUILDER_CI_PULL": text})
        assert found.pull == 0
        (sentence,) = found.wrong
        assert sentence.startswith("BUILDER_CI_PULL is ")

    @pytest.mark.parametrize("text", ["nonsense", "HEAD", SHA[:12], SHA + "a", SHA.upper()])
    def test_what_is_no_commit(self, text: str) -> None:
        found = here({"BUILDER_CI": "x", "BUILDER_CI_SHA": text})
        assert found.sha == ""
        (sentence,) = found.wrong
        assert "40 hexadecimal digits" in sentence

    def test_what_is_neither_true_nor_false(self) -> None:
        found = here({"BUILDER_CI": "x", "BUILDER_CI_FORK": "maybe"})
        assert (found.fork, len(found.wrong)) == (False, 1)

    def test_what_makes_sense(self) -> None:
        said = {"SHA": f" {SHA}\n", "PULL": "https://git.example.org/pull/12", "FORK": "No"}
        assert here({"BUILDER_CI": "x", **{f"BUILDER_CI_{name}": value for name, value in said.items()}}).wrong == ()
