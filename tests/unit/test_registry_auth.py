"""Challenges, scopes and the token cache, without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import AuthError
from builder.stores.registry.auth import Authorizer, Challenge, Grants, pull, push, scopes
from builder.stores.registry.credentials import Credential

BEARER = 'Bearer realm="https://auth.example/token?a=b",service="reg, istry",scope="repository:x:pull"'


class TokenServer:
    """Remembers what it was asked for; says `answers` in turn, or numbered tokens."""

    def __init__(self, *answers: object) -> None:
        self.asked: list[tuple[str, str | None, str]] = []
        self.answers = list(answers)

    def __call__(self, url: str, form: str | None, authorization: str) -> bytes:
        self.asked.append((url, form, authorization))
        answer = self.answers.pop(0) if self.answers else {"token": f"token-{len(self.asked)}", "expires_in": 300}
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


def authorizer(server: TokenServer, credential: Credential | None = None, now: Callable[[], float] = lambda: 0.0) -> Authorizer:
    return Authorizer("registry.example", lambda host: credential, server, now)


def challenged(server: TokenServer, grants: Grants = frozenset(), **more: object) -> Authorizer:
    made = authorizer(server, **more)  # type: ignore[arg-type]
    made.renew([BEARER], grants or pull("x"), "")
    return made


def test_a_challenge_is_read_as_servers_write_it() -> None:
    assert Challenge.parse([BEARER]) == Challenge("bearer", "https://auth.example/token?a=b", "reg, istry")
    assert Challenge.parse(['Basic realm="Registry, or not"']).scheme == "basic"
    assert Challenge.parse(['bearer Realm=https://a/t, Service="s"']) == Challenge("bearer", "https://a/t", "s")
    assert Challenge.parse(['Basic realm="x", Bearer realm="https://a/t",service="s"']) == Challenge("bearer", "https://a/t", "s")
    assert Challenge.parse(['Basic realm="x"', 'Bearer realm="https://a/t"']).scheme == "bearer"
    assert Challenge.parse([]) == Challenge.parse(["Negotiate abc"]) == Challenge()


@given(st.lists(st.text(max_size=200), max_size=3))
def test_a_challenge_may_be_anything(headers: list[str]) -> None:
    assert Challenge.parse(headers).scheme in ("", "basic", "bearer")


def test_scopes_are_one_for_each_repository() -> None:
    assert scopes(push("b/c") | pull("a")) == ["repository:a:pull", "repository:b/c:pull,push"]


def test_nothing_is_sent_before_the_server_asks() -> None:
    server = TokenServer()
    made = authorizer(server, Credential("me", "secret"))
    assert made.header(pull("x")) == ""
    assert server.asked == []


def test_scopes_are_repeated_and_the_realm_keeps_its_query() -> None:
    server = TokenServer()
    made = challenged(server, push("x") | pull("base"))
    query = parse_qs(urlsplit(server.asked[0][0]).query)
    assert query == {"a": ["b"], "service": ["reg, istry"], "scope": ["repository:base:pull", "repository:x:pull,push"]}
    assert made.header(push("x") | pull("base")) == "Bearer token-1"


def test_a_wider_token_serves_a_narrower_need() -> None:
    server = TokenServer()
    made = challenged(server, push("x"))
    assert made.header(pull("x")) == "Bearer token-1"
    assert made.header(push("x") | pull("base")) == "Bearer token-2"
    assert made.header(pull("base")) == "Bearer token-2"
    assert len(server.asked) == 2


def test_a_token_is_renewed_before_it_expires() -> None:
    now = [100.0]
    made = challenged(TokenServer({"token": "one", "expires_in": 300}), now=lambda: now[0])
    now[0] = 389.0
    assert made.header(pull("x")) == "Bearer one"
    now[0] = 391.0
    assert made.header(pull("x")) == "Bearer token-2"


@pytest.mark.parametrize("answer", [{"token": "one"}, {"access_token": "one", "expires_in": 0}, {"token": "one", "expires_in": "300"}])
def test_a_life_that_is_not_said_is_60_seconds(answer: dict[str, object]) -> None:
    now = [0.0]
    made = challenged(TokenServer(answer), now=lambda: now[0])
    now[0] = 49.0
    assert made.header(pull("x")) == "Bearer one"
    now[0] = 60.0
    assert made.header(pull("x")) == "Bearer token-2"


def test_a_token_that_was_refused_is_replaced_once() -> None:
    server = TokenServer()
    made = challenged(server)
    assert made.renew([BEARER], pull("x"), "Bearer token-1") == "Bearer token-2"
    assert made.renew([BEARER], pull("x"), "Bearer token-1") == "Bearer token-2"  # another thread's request with the old one
    assert len(server.asked) == 2


def test_a_server_that_repeats_itself_is_given_up() -> None:
    made = challenged(TokenServer({"token": "same"}, {"token": "same"}))
    assert made.renew([BEARER], pull("x"), "Bearer same") == ""


def test_an_identity_token_is_posted_and_a_password_is_not() -> None:
    server = TokenServer()
    challenged(server, push("x") | pull("base"), credential=Credential(identity_token="id&entity"))
    url, form, authorization = server.asked[0]
    assert url == "https://auth.example/token?a=b"
    assert authorization == ""
    fields = parse_qs(form or "")
    assert fields["grant_type"] == ["refresh_token"]
    assert fields["refresh_token"] == ["id&entity"]
    assert fields["scope"] == ["repository:base:pull repository:x:pull,push"]
    assert fields["service"] == ["reg, istry"]
    assert fields["client_id"]
    challenged(server, credential=Credential("me", "pass:word"))
    assert server.asked[1][1:] == (None, "Basic bWU6cGFzczp3b3Jk")


def test_basic_is_answered_with_the_password_and_refused_without() -> None:
    assert authorizer(TokenServer(), Credential("me", "x")).renew(['Basic realm="r"'], pull("x"), "") == "Basic bWU6eA=="
    assert authorizer(TokenServer()).renew(['Basic realm="r"'], pull("x"), "") == ""


def test_a_password_that_ran_out_is_asked_for_again() -> None:
    passwords = iter(["old", "new", "new"])
    made = Authorizer("registry.example", lambda host: Credential("AWS", next(passwords)), TokenServer(), lambda: 0.0)
    old = made.renew(['Basic realm="r"'], pull("x"), "")
    new = made.renew(['Basic realm="r"'], pull("x"), old)
    assert new not in ("", old)
    assert made.renew(['Basic realm="r"'], pull("x"), new) == ""


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'"secret"',
        b"[" * 100_000,
        {},
        {"token": ""},
        {"token": 5},
        {"token": "a b"},
        {"token": "a\r\nEvil: 1"},
    ],
)
def test_a_token_answer_may_be_anything(answer: object) -> None:
    with pytest.raises(AuthError, match="without a usable token") as caught:
        challenged(TokenServer(answer))
    assert "docker login registry.example" in caught.value.hint
    assert "secret" not in caught.value.message


def test_secrets_are_hidden_in_text_and_repr() -> None:
    credential = Credential("me", "pass-word", "identity")
    made = challenged(TokenServer({"token": "tok-en"}), credential=Credential("me", "pass-word"))
    said = made.hide(f"you sent tok-en, pass-word and {credential.basic} to me")
    assert "tok-en" not in said
    assert "pass-word" not in said
    assert credential.basic[6:] not in said
    assert "pass-word" not in repr(credential)
    assert "identity" not in repr(credential)
