"""Every forge keeps these promises: the fake as well as the one that speaks GitHub's REST API, as a person and as an app."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count

import pytest
import urllib3.exceptions as u3
from urllib3 import HTTPConnectionPool

from builder.errors import ForgeError
from builder.forge.api import Api
from builder.forge.github import GitHub
from builder.forge.interface import Forge, Status
from builder.forge.trouble import broken
from builder.stores.registry.retry import Retry
from tests.fixtures.github import (
    APP_TOKEN,
    READ_TOKEN,
    REPOSITORY,
    STRANGER,
    TOKEN,
    USERS,
    Answer,
    FakeForge,
    GitHubState,
    PullRequest,
    github_on,
)

MARKER = "<!-- mark -->"
POOL = HTTPConnectionPool("h")
CLASS_NAME = re.compile(r"[A-Z][a-z]+[A-Z]|Error")
ONE, TWO, NOWHERE = (digit * 40 for digit in "123")
SAID = Status("success", "1.2 MB, 0.4 s · ä ✓", "https://ci.example.org/7")


@dataclass(frozen=True)
class There:
    """A forge and what it has; `user` is who it writes as."""

    forge: Forge
    state: GitHubState
    user: dict[str, str]


@pytest.fixture
def state() -> Iterator[GitHubState]:
    with github_on("127.0.0.1") as state:
        state.commits = {ONE, TWO}
        state.pulls[7] = PullRequest(7, "topic", [(ONE, "First\n\nbody"), (TWO, "Second")])
        state.pulls[8] = PullRequest(8, "topic", [(ONE, "First")], home="fork/agent")
        state.pulls[9] = PullRequest(9, "topic", [(ONE, "First")], state="closed")
        yield state


def github(state: GitHubState, token: str = TOKEN, waits: list[float] | None = None) -> GitHub:
    """Does not really wait."""
    sleep = (waits if waits is not None else []).append
    return GitHub(state.api, REPOSITORY, token, Retry(tries=4, first=1.0, longest=60.0, sleep=sleep), timeout=20)


@pytest.fixture(params=["fake", "github as a person", "github as an app"])
def there(request: pytest.FixtureRequest, state: GitHubState) -> There:
    if request.param == "fake":
        return There(FakeForge(state), state, USERS[TOKEN])
    token = APP_TOKEN if request.param.endswith("app") else TOKEN
    return There(github(state, token), state, USERS[token])


def test_a_status_is_the_last_one_set(there: There) -> None:
    assert there.forge.status(ONE) is None
    assert there.forge.set_status(ONE, Status("pending", "soon"))
    assert there.forge.set_status(ONE, SAID)
    assert there.forge.status(ONE) == SAID
    assert there.forge.status(TWO) is None


def test_statuses_of_others_are_not_ours(there: There) -> None:
    other = {"state": "failure", "description": "red", "target_url": "", "context": "ci/other"}
    there.forge.set_status(ONE, SAID)
    there.state.statuses[ONE] += [other] * 5
    assert there.forge.status(ONE) == SAID
    assert len(there.state.statuses[ONE]) == 6


def test_a_commit_that_is_not_there_has_no_status(there: There) -> None:
    assert there.forge.status(NOWHERE) is None
    assert there.forge.set_status(NOWHERE, SAID) is False


def test_open_pull_requests_of_a_branch(there: There) -> None:
    (found,) = there.forge.pulls(branch="topic")
    assert (found.number, found.commits) == (7, ((ONE, "First"), (TWO, "Second")))
    assert there.forge.pulls(branch="other", sha=ONE) == ()


def test_a_pull_request_by_its_number(there: There) -> None:
    assert [pull.number for pull in there.forge.pulls(number=8)] == [8]
    assert there.forge.pulls(number=9) == ()


def test_pull_requests_with_a_commit(there: There) -> None:
    assert [pull.number for pull in there.forge.pulls(sha=ONE)] == [7, 8]
    assert there.forge.pulls(sha=NOWHERE) == ()


def test_one_comment_is_updated(there: There) -> None:
    there.state.comment(7, "looks good", STRANGER)
    assert there.forge.upsert_comment(7, MARKER, lambda before: f"{MARKER}\none{before}") == "created"
    assert there.forge.upsert_comment(7, MARKER, lambda before: before) == "same"
    assert there.forge.upsert_comment(7, MARKER, lambda before: before.replace("one", "two")) == "updated"
    assert there.state.texts(7) == ["looks good", f"{MARKER}\ntwo"]


def test_what_somebody_else_wrote_is_never_ours(there: There) -> None:
    """They could change it afterwards, and it would speak for us."""
    theirs = f"{MARKER}\nbuilder finetune@evil"
    there.state.comment(7, theirs, STRANGER)
    assert there.forge.upsert_comment(7, MARKER, lambda before: f"{MARKER}\nours{before}") == "created"
    assert there.state.texts(7) == [theirs, f"{MARKER}\nours"]
    assert there.forge.upsert_comment(7, MARKER, lambda before: before + "!") == "updated"
    assert there.state.texts(7) == [theirs, f"{MARKER}\nours!"]


def test_of_several_one_is_left(there: There) -> None:
    for number in range(3):
        there.state.comment(7, f"{MARKER}\n{number}", there.user)
    assert there.forge.upsert_comment(7, MARKER, lambda before: f"{before} and more") == "updated"
    assert there.state.texts(7) == [f"{MARKER}\n0 and more"]


def test_a_quote_of_the_comment_is_none(there: There) -> None:
    there.state.comment(7, f"> {MARKER}\n> text", there.user)
    assert there.forge.upsert_comment(7, MARKER, lambda before: f"{MARKER}\n1") == "created"
    assert len(there.state.texts(7)) == 2


def test_a_refusal_is_an_error(there: There) -> None:
    if isinstance(there.forge, FakeForge):
        there.forge.broken = True
    else:
        there.state.trouble += [("", (403, {}, {"message": "no"}))] * 9
    with pytest.raises(ForgeError):
        there.forge.set_status(ONE, SAID)
    with pytest.raises(ForgeError):
        there.forge.pulls(branch="topic")
    assert there.state.statuses == {}


class TestGitHub:
    """What only the one does that speaks HTTP."""

    def test_lists_have_pages(self, state: GitHubState) -> None:
        state.page_size = 2
        state.pulls[7].commits = [(f"{number:040x}", f"Change {number}") for number in range(7)]
        for number in range(5):
            state.comment(7, f"chat {number}", STRANGER)
        state.comment(7, f"{MARKER}\n1", USERS[TOKEN])
        state.statuses[ONE] = [{"state": "success", "description": "x", "target_url": "", "context": "ci"} for _ in range(5)]
        github(state).set_status(TWO, SAID)
        state.statuses[ONE].insert(0, state.statuses[TWO][0])
        assert len(github(state).pulls(number=7)[0].commits) == 7
        assert github(state).upsert_comment(7, MARKER, lambda before: before) == "same"
        assert github(state).status(ONE) == SAID

    @pytest.mark.parametrize(
        ("answer", "wait"),
        [
            ((429, {"Retry-After": "7"}, {"message": "secondary rate limit"}), 7.0),
            ((403, {"Retry-After": "9"}, {"message": "You have exceeded a secondary rate limit"}), 9.0),
            ((403, {}, {"message": "You have exceeded a secondary rate limit."}), 60.0),
            ((403, {"X-RateLimit-Remaining": "0"}, {"message": "API rate limit exceeded"}), 60.0),
            ((502, {}, b"<html>bad gateway</html>"), None),
            ((500, {}, {"message": "oops"}), None),
        ],
    )
    def test_what_may_pass_is_tried_again(self, state: GitHubState, answer: Answer, wait: float | None) -> None:
        waits: list[float] = []
        state.trouble += [("POST", answer)] * 3
        assert github(state, waits=waits).set_status(ONE, SAID)
        assert len(waits) == 3
        assert wait is None or waits == [wait] * 3
        assert len(state.statuses[ONE]) == 1

    def test_it_is_not_tried_for_ever(self, state: GitHubState) -> None:
        state.trouble += [("", (503, {}, None))] * 9
        with pytest.raises(ForgeError, match="503"):
            github(state).set_status(ONE, SAID)
        assert len(state.calls) == 4

    def test_a_limit_that_lasts_is_not_waited_for(self, state: GitHubState) -> None:
        waits: list[float] = []
        reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 3000)}
        state.trouble.append(("", (403, reset, {"message": "API rate limit exceeded"})))
        with pytest.raises(ForgeError, match=r"its limit ends in (49|50) minutes"):
            github(state, waits=waits).set_status(ONE, SAID)
        assert waits == []

    def test_a_limit_of_which_there_is_some_left_is_none(self, state: GitHubState) -> None:
        state.trouble.append(("", (403, {"X-RateLimit-Remaining": "17"}, {"message": "Forbidden"})))
        with pytest.raises(ForgeError, match="403 Forbidden") as caught:
            github(state).set_status(ONE, SAID)
        assert "allowed to write" in caught.value.hint
        assert len(state.calls) == 1

    def test_two_builds_at_once_leave_one_comment(self, state: GitHubState) -> None:
        """The other one's is there when ours arrives: the older stays, and says what we say."""
        state.between = lambda: state.comment(7, f"{MARKER}\nof the other", USERS[TOKEN])
        assert github(state).upsert_comment(7, MARKER, lambda before: f"{MARKER}\nours") == "created"
        assert state.texts(7) == [f"{MARKER}\nours"]

    def test_a_comment_whose_answer_got_lost_is_not_made_twice(self, state: GitHubState) -> None:
        """It arrived, the answer was 502, and it is sent again: one of the two goes."""
        state.lost.append("POST .*comments")
        assert github(state).upsert_comment(7, MARKER, lambda before: f"{MARKER}\nours") == "created"
        assert len(state.wrote("POST")) == 2
        assert state.texts(7) == [f"{MARKER}\nours"]

    def test_a_token_that_only_reads_is_refused(self, state: GitHubState) -> None:
        forge = github(state, READ_TOKEN)
        assert forge.status(ONE) is None
        with pytest.raises(ForgeError, match="403 Resource not accessible") as caught:
            forge.set_status(ONE, SAID)
        assert caught.value.exit_code == 1

    def test_a_bad_token_is_said_and_not_shown(self, state: GitHubState) -> None:
        state.trouble.append(("POST", (401, {}, {"message": "Bad credentials: hunter2-the-token"})))
        with pytest.raises(ForgeError, match="401 Bad credentials") as caught:
            github(state, "hunter2-the-token").set_status(ONE, SAID)
        assert "hunter2" not in caught.value.message + caught.value.hint

    def test_a_repository_that_moved_is_followed(self, state: GitHubState) -> None:
        there = f"{state.api}/repos/{REPOSITORY}/statuses/{ONE}"
        state.trouble.append(("POST", (307, {"Location": there}, None)))
        assert github(state).set_status(ONE, SAID)

    def test_the_token_goes_nowhere_else(self, state: GitHubState) -> None:
        with github_on("127.0.0.1") as other:
            state.trouble.append(("POST", (307, {"Location": f"{other.api}/repos/{REPOSITORY}/statuses/{ONE}"}, None)))
            state.trouble.append(("GET", (200, {"Link": f'<{other.api}/repos/x/pulls>; rel="next"'}, [])))
            with pytest.raises(ForgeError, match="another address"):
                github(state).set_status(ONE, SAID)
            with pytest.raises(ForgeError, match="another address"):
                github(state).pulls(branch="topic")
            assert other.calls == []

    @pytest.mark.parametrize(
        "answer",
        [
            (200, {}, b"<html>a login page</html>"),
            (200, {}, b"[" * 100_000),
            (200, {}, [{}]),
            (200, {}, ["text", None]),
            (200, {}, [{"context": "builder image", "state": "shiny", "description": "", "target_url": ""}]),
            (200, {"Content-Length": str(9 << 20)}, b"[" + b" " * (9 << 20)),
            (302, {}, None),
            (418, {}, {"message": "teapot\x1b[2J" + "x" * 5000}),
        ],
    )
    def test_nonsense_is_an_error(self, state: GitHubState, answer: Answer) -> None:
        state.trouble += [("", answer)] * 5
        with pytest.raises(ForgeError) as caught:
            github(state).status(ONE)
        assert "\x1b" not in caught.value.message
        assert len(caught.value.message) < 500

    def test_nobody_there(self, state: GitHubState) -> None:
        waits: list[float] = []
        forge = GitHub("http://127.0.0.1:1", REPOSITORY, TOKEN, Retry(tries=3, sleep=waits.append), timeout=5)
        with pytest.raises(ForgeError, match=r"127\.0\.0\.1"):
            forge.status(ONE)
        assert len(waits) == 2

    def test_the_port_that_nobody_listens_at_is_named_in_words(self) -> None:
        heard: list[str] = []
        forge = GitHub("http://127.0.0.1:1", REPOSITORY, TOKEN, Retry(tries=3, sleep=lambda _: None), timeout=5, notice=heard.append)
        with pytest.raises(ForgeError, match="connection refused") as caught:
            forge.status(ONE)
        assert not CLASS_NAME.search(caught.value.message + caught.value.hint)
        assert len(heard) == 2, "nobody sits before a silent terminal"
        assert all(line.endswith("trying again") for line in heard)

    def test_a_forge_that_never_answers_is_not_waited_for_again_and_again(self) -> None:
        """Its time is bounded in all requests together. Here each look at the clock finds four seconds gone."""
        with hanging() as (url, asked):
            api = Api(url, TOKEN, Retry(tries=99, sleep=lambda _: None), timeout=0.05, clock=count(0, 4).__next__)
            with pytest.raises(ForgeError, match="does not answer; it was given 20 s") as caught:
                api.call("GET", "/x", "ask")
            assert not CLASS_NAME.search(caught.value.message)
            assert len(asked) == 3
            with pytest.raises(ForgeError, match="it was given 20 s"):
                api.call("GET", "/y", "ask")
            assert len(asked) == 4, "what was lost stays lost"

    def test_an_answer_that_does_not_end_is_none(self) -> None:
        with hanging(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" " * 900) as (url, _):
            api = Api(url, TOKEN, Retry(tries=1), timeout=10.0, clock=count(0, 12).__next__)
            with pytest.raises(ForgeError, match="its answer does not end"):
                api.call("GET", "/x", "ask")

    def test_trouble_that_is_to_last_is_not_waited_for(self, state: GitHubState) -> None:
        waits: list[float] = []
        state.trouble += [("", (503, {"Retry-After": "50"}, None))] * 9
        with pytest.raises(ForgeError, match="503"):
            github(state, waits=waits).set_status(ONE, SAID)
        assert waits == []

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (u3.NameResolutionError("h", POOL, socket.gaierror(-2, "Name or service not known")), "no such host"),
            (u3.ConnectTimeoutError(POOL, "slow"), "does not answer"),
            (u3.ReadTimeoutError(POOL, "/x", "slow"), "does not answer"),
            (u3.NewConnectionError(POOL, "no"), "the connection broke off"),
            (u3.ProtocolError("aborted", ConnectionResetError(104, "Connection reset by peer")), "connection reset by peer"),
            (u3.IncompleteRead(1, 2), "the connection broke off"),
            (u3.SSLError("bad"), "its certificate is not trusted here"),
            (u3.LocationParseError("x"), "does not speak HTTP as it should"),
            (u3.DecodeError("x"), "does not speak HTTP as it should"),
            (TimeoutError(), "the connection broke off"),
            (ValueError("negative chunk"), "does not speak HTTP as it should"),
        ],
    )
    def test_a_connection_that_fails_is_told_in_words(self, error: Exception, words: str) -> None:
        found = broken("cannot ask: h", error)
        assert words in found.message
        assert found.hint
        assert not CLASS_NAME.search(found.message)


@contextmanager
def hanging(*sent: bytes) -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that takes requests, sends this, and then nothing more; and the connections it has."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    taken.append(connection)
                    for piece in sent:
                        connection.sendall(piece)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", taken
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in taken:
                connection.close()
