"""A repository is cloned without files' contents, with a token that only its own server gets."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from builder.errors import SourceError
from builder.source.clone import clone_bare, with_token
from builder.source.repository import Git
from tests.fixtures.repositories import Repository

TOKEN = "a-secret-token"


class Server:
    """`git http-backend` behind a password."""

    def __init__(self, root: Path, user: str) -> None:
        outer, self.asked = self, list[str]()
        expected = "Basic " + base64.b64encode(f"{user}:{TOKEN}".encode()).decode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.headers.get("Authorization", ""))
                if self.headers.get("Authorization") != expected:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="git"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                path, _, query = self.path.partition("?")
                environ = {"GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1", "PATH": os.environ["PATH"], "PATH_INFO": path}
                environ |= {"QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", "")}
                environ |= {"GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "REMOTE_USER": user}
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Content-Encoding") == "gzip":
                    environ["HTTP_CONTENT_ENCODING"] = "gzip"
                done = subprocess.run(["git", "http-backend"], input=body, env=environ, capture_output=True, check=True)
                head, _, content = done.stdout.partition(b"\r\n\r\n")
                self.send_response(200)
                for line in head.decode().splitlines():
                    name, _, value = line.partition(": ")
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    repository = Repository.make(tmp_path / "served/team.git", "--bare")
    repository.git("config", "uploadpack.allowFilter", "true")
    repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
    repository.commit({"a.txt": b"one\n"})
    repository.commit({"b.txt": b"two\n"}, branch="other")
    return repository


@pytest.fixture
def server(origin: Repository, request: pytest.FixtureRequest) -> Iterator[Server]:
    found = Server(origin.directory.parent, getattr(request, "param", "x-access-token"))
    yield found
    found.http.shutdown()
    found.http.server_close()


def set_token(monkeypatch: pytest.MonkeyPatch, url: str, token: str = TOKEN) -> None:
    monkeypatch.setenv("BUILDER_GIT_TOKEN", token)
    for name, value in with_token(url, os.environ).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("server", "user"), [("x-access-token", ""), ("ada", "ada@")], indirect=["server"])
def test_with_a_token(tmp_path: Path, server: Server, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://{user}{server.address}/team.git"
    set_token(monkeypatch, url)
    clone_bare(url, tmp_path / "clone.git")
    with Git.open(tmp_path / "clone.git") as git:
        commit = git.resolve("other")
        entries = git.entries(commit)
        assert git.at_hand(commit, entries) == []
        git.fetch_missing(commit, entries)
        assert [git.read(entry) for entry in entries] == [b"two\n"]
        assert git.resolve("main").sha
    everything = b"".join(path.read_bytes() for path in (tmp_path / "clone.git").rglob("*") if path.is_file())
    assert TOKEN.encode() not in everything


def test_another_server_does_not_get_it(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    set_token(monkeypatch, "http://127.0.0.1:1/team.git")
    with pytest.raises(SourceError, match=r"team.git cannot be cloned: fatal: could not read Username") as caught:
        clone_bare(f"http://{server.address}/team.git", tmp_path / "clone.git")
    assert "git_secret" in caught.value.hint
    assert set(server.asked) == {""}


def test_a_wrong_token(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://{server.address}/team.git"
    set_token(monkeypatch, url, "another-secret")
    with pytest.raises(SourceError, match="cannot be cloned: fatal: Authentication failed") as caught:
        clone_bare(url, tmp_path / "clone.git")
    assert "another-secret" not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.parametrize(("url", "token"), [("git://h/x.git", "t"), ("https://h/x.git", ""), ("ssh://h/x.git", "t")])
def test_where_no_token_can_be_used(url: str, token: str) -> None:
    assert with_token(url, {"BUILDER_GIT_TOKEN": token}) == {}


def test_the_token_is_for_the_server_whoever_the_url_names() -> None:
    found = with_token("https://ada@git.test:8443/team/repository.git", {"BUILDER_GIT_TOKEN": TOKEN})
    assert found["GIT_CONFIG_KEY_0"] == "credential.https://git.test:8443.helper"
    assert TOKEN not in "".join(found.values())


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="the image of this commit has no git") as caught:
        clone_bare("https://git.test/x.git", tmp_path / "clone.git")
    assert "put git into the base or the dependencies" in caught.value.hint
