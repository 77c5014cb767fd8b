"""A partner evaluates a run on a real Argo: the step's pod is killed while it waits, and goes on waiting for the same request."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.fixtures.team import Team

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

KEY = "a key that both know"
EVAL = """
[flow.finetune.evals.drag]
kind = "external"
samples = "data/click.jsonl"
webhook = "WEBHOOK"
key_env = "PARTNER_KEY"
timeout = "10m"
"""


@pytest.fixture
def webhook(bridge_address: str) -> Iterator[tuple[str, list[Any]]]:
    """Its URL, and what it was told."""
    told: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            signature = "sha256=" + hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()
            told.append(json.loads(body) if self.headers["X-Builder-Signature"] == signature else "not signed")
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((bridge_address, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{bridge_address}:{server.server_port}/ask", told
    server.shutdown()
    server.server_close()


def until_told(told: list[Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 240
    while not told:
        assert time.monotonic() < deadline, "nobody was told"
        time.sleep(0.5)
    return dict(told[0])


def waiting_pod(team: Team, run: str, besides: str = "") -> tuple[str, str]:
    """Name and uid of the pod of the step that waits, when it runs. Argo may give a pod that it makes again the same name."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for pod in team.pods(run):
            name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
            going = pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
            if "evaluate" in name and uid != besides and going:
                return str(name), str(uid)
        time.sleep(0.5)
    raise AssertionError("no pod waits")


def test_a_pod_that_is_killed_goes_on_waiting(team: Team, webhook: tuple[str, list[Any]]) -> None:
    url, told = webhook
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "partner"}, "stringData": {"PARTNER_KEY": KEY}}
    team.cluster.output("--namespace", team.namespace, "apply", "--filename=-", stdin=json.dumps(secret))
    text = (team.repository / "builder.toml").read_text().replace('secrets = ["', 'secrets = ["partner", "')
    team.commit("Ask a partner", {"builder.toml": text + EVAL.replace("WEBHOOK", url)})
    run = team.json("run", "finetune@HEAD", "epochs=1", "evals=drag", "--on", "argo", "--detach")["run"]

    request = until_told(told)
    assert (request["run"], request["action"]) == (run, "drag")
    killed, uid = waiting_pod(team, run)
    team.cluster.output("--namespace", team.namespace, "delete", "pod", killed, "--wait=false", "--grace-period=1")
    waiting_pod(team, run, besides=uid)

    text = "\n".join((request["run"], request["action"], request["nonce"], "0.8125"))
    signature = hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()
    result = json.dumps({"score": 0.8125, "signature": signature}).encode()
    team.objects.put(f"external/{run}/drag/result.json", result)
    assert team.wait(run) == "Succeeded"
    assert team.ledger.read(run)["end"]["result"]["scores"] == {"drag": 0.8125}
    assert len(told) == 1, "the partner is told once"
    assert json.loads(team.objects.get(f"external/{run}/drag/request.json") or b"") == request
