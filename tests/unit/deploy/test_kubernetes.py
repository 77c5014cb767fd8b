"""What the adapter makes of a server's answers: errors that name the thing, requests that are sent again, and lists in pieces."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from builder.cluster.kubernetes import KubernetesCluster, connect
from builder.errors import AuthError, BuilderError, ClusterError

Answer = tuple[int, Any]


class Server(ThreadingHTTPServer):
    """Gives the answers one after the other, the last one for ever; a status of 0 hangs up. `asked` is what came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = [(200, {})]
        self.asked: list[tuple[str, str, str, str]] = []


class Handler(BaseHTTPRequestHandler):
    def answer(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.asked.append((self.command, self.path, self.headers.get("Authorization") or "", self.headers.get("Content-Type") or ""))
        status, body = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        if not status:
            self.connection.close()
            return
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def cluster(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KubernetesCluster:
    monkeypatch.setattr("urllib3.util.retry.Retry.sleep", lambda *_: None)
    return connected(tmp_path, monkeypatch, f"http://127.0.0.1:{server.server_port}")


def connected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> KubernetesCluster:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {"token": "t0ken"}}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("one", "two")],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    return connect("team", "two")


def manifest() -> dict[str, Any]:
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTemplate", "metadata": {"name": "x"}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (403, {"message": "forbidden: no"}, AuthError, "workflows x in namespace team of http://127.0.0.1:"),
        (401, {"message": "Unauthorized"}, AuthError, "Unauthorized"),
        (500, b"<html>oops</html>", ClusterError, r"<html>oops</html> \(500\)"),
        (422, {"message": "spec is wrong"}, ClusterError, r"spec is wrong \(422\)"),
        (500, [], ClusterError, r"\[\] \(500\)"),
    ],
)
def test_an_error_names_object_and_server(
    cluster: KubernetesCluster, server: Server, status: int, body: Any, kind: type[BuilderError], said: str
) -> None:
    server.answers = [(status, body)]
    with pytest.raises(kind, match=said):
        cluster.get("workflows", "x")


def test_a_server_without_argo(cluster: KubernetesCluster, server: Server) -> None:
    server.answers = [(404, b"404 page not found\n")]
    with pytest.raises(ClusterError, match=r"workflowtemplates in namespace team of .*: there is none") as error:
        list(cluster.list("workflowtemplates"))
    assert "is Argo Workflows installed?" in error.value.hint
    with pytest.raises(ClusterError, match="there is none"):
        cluster.create(manifest())


def test_the_token_goes_along_and_the_path_is_the_namespaces(cluster: KubernetesCluster, server: Server) -> None:
    cluster.get("workflows", "a/b")
    cluster.get("namespaces", "team")
    cluster.apply(manifest())
    assert [(method, path, token) for method, path, token, _ in server.asked] == [
        ("GET", "/apis/argoproj.io/v1alpha1/namespaces/team/workflows/a/b", "Bearer t0ken"),
        ("GET", "/api/v1/namespaces/team", "Bearer t0ken"),
        (
            "PATCH",
            "/apis/argoproj.io/v1alpha1/namespaces/team/workflowtemplates/x?fieldManager=builder&force=true",
            "Bearer t0ken",
        ),
    ]
    assert server.asked[-1][3] == "application/apply-patch+yaml"


@pytest.mark.parametrize("first", [(503, b""), (429, b""), (0, b"")])
def test_what_changes_nothing_is_asked_again(cluster: KubernetesCluster, server: Server, first: Answer) -> None:
    server.answers = [first, first, (200, {"kind": "Workflow"})]
    assert cluster.get("workflows", "x") == {"kind": "Workflow"}
    assert len(server.asked) == 3


@pytest.mark.parametrize("first", [(503, b"no"), (0, b"")])
def test_what_makes_something_is_sent_once(cluster: KubernetesCluster, server: Server, first: Answer) -> None:
    server.answers = [first]
    with pytest.raises(ClusterError):
        cluster.create(manifest())
    assert len(server.asked) == 1


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib3.util.retry.Retry.sleep", lambda *_: None)
    with pytest.raises(ClusterError, match=r"http://127\.0\.0\.1:1 did not answer: .*refused"):
        connected(tmp_path, monkeypatch, "http://127.0.0.1:1").get("workflows", "x")


def test_no_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ClusterError, match="no cluster: "):
        connect("team")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "empty"))
    (tmp_path / "empty").write_text("{}")
    with pytest.raises(ClusterError, match="no cluster: "):
        connect("team", "nowhere")


@pytest.mark.parametrize("data", [b"{", b"[]", b"word", b"clusters: 3\ncurrent-context: x", b"\xff\xfe\x00", b""])
def test_a_damaged_kubeconfig_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    (tmp_path / "bad").write_bytes(data)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "bad"))
    with pytest.raises(ClusterError, match=r"no cluster: .*/bad") as error:
        connect("team")
    assert "KUBECONFIG" in error.value.hint


def test_a_kubeconfig_that_is_a_directory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path))
    with pytest.raises(ClusterError, match=f"no cluster: .*{tmp_path.name}"):
        connect("team")


def test_a_namespace_that_is_not_there(cluster: KubernetesCluster, server: Server) -> None:
    server.answers = [(404, {"message": 'namespaces "team" not found'})]
    with pytest.raises(ClusterError, match="there is no namespace team at"):
        cluster.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "x"}})


def test_a_list_comes_in_pieces(cluster: KubernetesCluster, server: Server) -> None:
    server.answers = [(200, {"metadata": {"continue": "m/ore"}, "items": [{"n": 1}]}), (200, {"items": [{"n": 2}]})]
    assert [found["n"] for found in cluster.list("pods", {"app": "x", "b": ""})] == [1, 2]
    assert server.asked[0][1].endswith("/pods?limit=200&labelSelector=app%3Dx%2Cb%3D")
    assert server.asked[1][1].endswith("&continue=m%2Fore")


def test_a_log_of_a_pod(cluster: KubernetesCluster, server: Server) -> None:
    server.answers = [(200, b"one\ntwo\n")]
    assert b"".join(cluster.log("p", "main")) == b"one\ntwo\n"
    assert server.asked[0][1] == "/api/v1/namespaces/team/pods/p/log?container=main"


@pytest.mark.parametrize(
    ("asked", "attributes"),
    [
        (("create", "workflows"), {"verb": "create", "group": "argoproj.io", "resource": "workflows"}),
        (("get", "pods/log"), {"verb": "get", "resource": "pods", "subresource": "log"}),
        (("patch", "configmaps", "x"), {"verb": "patch", "resource": "configmaps", "name": "x"}),
        (("get", "daemonsets"), {"verb": "get", "group": "apps", "resource": "daemonsets"}),
    ],
)
def test_what_is_asked_of_rights(
    cluster: KubernetesCluster, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...], attributes: dict[str, str]
) -> None:
    seen: list[Any] = []

    def ask(method: str, path: str, body: Any = None, media: str = "") -> tuple[int, bytes]:
        seen.append(body["spec"]["resourceAttributes"])
        return 201, b'{"status": {"allowed": false}}'

    monkeypatch.setattr(cluster, "_ask", ask)
    assert cluster.may(*asked) is False
    assert seen == [{"namespace": "team", **attributes}]
