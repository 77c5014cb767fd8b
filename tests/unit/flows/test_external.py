"""An evaluation that somebody else does: asked once, told with a signature, answered with one, and never for ever."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from builder.data.checkpoints import freeze, materialise
from builder.errors import LaunchError
from builder.settings import ErrorSettings, ExternalSettings, FlowSettings
from builder.steps import evaluate, external
from builder.steps.config import Config, resolve
from builder.steps.request import Origin, Request, Task
from builder.steps.root import ledger_of, objects_of
from tests.fixtures.requests import request_in

KEY = "a key that both know"
HOW_TO = (Path(__file__).parents[3] / "docs/how-to/external-evaluation.md").read_text()
STEP = "evaluate-drag"


@dataclass
class Webhook:
    """A partner's server, which answers with each of the statuses in turn, then with 200."""

    url: str
    answers: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            seen.signatures.append(self.headers["X-Builder-Signature"])
            status = seen.answers.pop(0) if seen.answers else 200
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    seen = Webhook(f"http://127.0.0.1:{server.server_port}/ask?token=hidden")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield seen
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "_FIRST_LOOK", 0.02)
    monkeypatch.setattr(external, "_LOOK_EVERY", 0.05)
    monkeypatch.setenv("PARTNER_KEY", KEY)


def make(tmp_path: Path, settings: ExternalSettings, rule: ErrorSettings | None = None, **fields: Any) -> Request:
    settings = replace(settings, timeout="30s") if settings.timeout == "24h" else settings  # a partner that fails is no reason to hang
    flow = FlowSettings(evals={"drag": replace(settings, key_env="PARTNER_KEY")}, errors={STEP: rule} if rule else {})
    return request_in(tmp_path, flow, **fields)


def checkpoint(tmp_path: Path, request: Request) -> str:
    (tmp_path / "weights").mkdir(exist_ok=True)
    (tmp_path / "weights/w").write_text("0.25")
    return freeze(objects_of(request), tmp_path / "weights").digest


def run(tmp_path: Path, request: Request, attempt: int = 0) -> Any:
    return evaluate.run(Task(request, attempt), Config(), checkpoint(tmp_path, request), "drag")


def record(request: Request) -> dict[str, Any]:
    return ledger_of(request).read(request.run)[STEP]


def asked(request: Request) -> dict[str, Any]:
    """The request document, as soon as it is there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        data = objects_of(request).get(f"external/{request.run}/drag/request.json")
        if data is not None:
            return dict(json.loads(data))
        time.sleep(0.01)
    raise AssertionError("nothing was asked")


def put(document: dict[str, Any], result: object) -> None:
    """Whole, as S3 does: the step looks all the time."""
    aside = Path(document["result"]).with_name("aside")
    aside.write_text(result if isinstance(result, str) else json.dumps(result))
    aside.replace(document["result"])


def answer(document: dict[str, Any], score: str, key: str = KEY) -> str:
    text = "\n".join((document["run"], document["action"], document["nonce"], score))
    return f'{{"score": {score}, "signature": "{hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()}"}}'


@contextmanager
def partner(act: Callable[[], object]) -> Iterator[None]:
    """Acts while the step waits; what it raises is raised here."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001
            raised.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    yield
    thread.join()
    if raised:
        raise raised[0]


def warned(request: Request, count: int) -> list[str]:
    """The warnings in the step's record, when there are so many."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = ledger_of(request).read(request.run).get(STEP, {}).get("warnings", [])
        if len(found) >= count:
            return list(found)
        time.sleep(0.01)
    raise AssertionError("no such warning")


def test_a_partner_is_asked_and_answers(tmp_path: Path, webhook: Webhook) -> None:
    request = make(tmp_path, ExternalSettings(samples="data", webhook=webhook.url))
    (tmp_path / "code/data").mkdir()
    (tmp_path / "code/data/drag.jsonl").write_text("{}\n")
    with partner(lambda: put(asked(request), answer(asked(request), "0.8125"))):
        found = run(tmp_path, request)
    assert (found.action, found.score, found.error) == ("drag", 0.8125, "")

    document = asked(request)
    assert (document["run"], document["commit"], document["reference"]) == (request.run, request.commit, request.reference)
    assert document["expires"] - document["asked"] == 30
    assert json.loads(webhook.bodies[0]) == document
    expected = hmac.new(KEY.encode(), webhook.bodies[0], hashlib.sha256).hexdigest()
    assert webhook.signatures == [f"sha256={expected}"]

    materialise(objects_of(request), document["samples"]["digest"], tmp_path / "their-samples")
    assert (tmp_path / "their-samples/drag.jsonl").read_text() == "{}\n"
    manifest = json.loads(Path(document["checkpoint"]["manifest"]).read_text())
    (weights,) = manifest["files"]
    assert (Path(document["checkpoint"]["blobs"]) / weights["sha256"][:2] / weights["sha256"]).read_text() == "0.25"

    kept = record(request)
    assert (kept["state"], kept["score"], kept["external"]) == (
        "succeeded",
        0.8125,
        str(Path(document["result"]).with_name("request.json")),
    )
    assert "waiting until" in (tmp_path / "out" / STEP / "log").read_text()
    everything = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in data for data in everything), "the key is never stored"


def test_samples_may_be_one_file(tmp_path: Path) -> None:
    request = make(tmp_path, ExternalSettings(samples="drag.jsonl", timeout="0s"))
    (tmp_path / "code/drag.jsonl").write_text("{}\n")
    run(tmp_path, request)
    materialise(objects_of(request), asked(request)["samples"]["digest"], tmp_path / "their-samples")
    assert [path.name for path in (tmp_path / "their-samples").iterdir()] == ["drag.jsonl"]


@pytest.mark.parametrize("language", ["python", "sh"])
def test_what_the_how_to_says_to_partners_works(tmp_path: Path, language: str) -> None:
    (text,) = re.findall(rf"```{language}\n(.*?)```", HOW_TO, re.DOTALL)
    request = make(tmp_path, ExternalSettings())
    theirs = tmp_path / "theirs"
    theirs.mkdir()

    def act() -> None:
        document = asked(request)
        (theirs / "request.json").write_text(json.dumps(document))
        words = {name: document[name] for name in ("run", "action", "nonce")}
        argv = [sys.executable, "-W", "ignore", "-c", text] if language == "python" else ["sh", "-c", text]
        environ = {"PATH": os.environ["PATH"], "PARTNER_KEY": KEY, "score": "0.8125", **words}
        subprocess.run(argv, cwd=theirs, env=environ, check=True)
        put(document, (theirs / "result.json").read_text())

    with partner(act):
        assert run(tmp_path, request).score == 0.8125


@pytest.mark.parametrize("score", ["1", "0.1e1", "-0.50", "0"])
def test_the_score_is_signed_as_it_is_written(tmp_path: Path, score: str) -> None:
    document = {"run": "r", "action": "drag", "nonce": "n"}
    assert external.read_result(answer(document, score).encode(), document, KEY.encode()) == float(score)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ("{", "result.json is ignored: Expecting"),
        ("[" * 100_000, "result.json is ignored: "),
        ('"text"', "no object with a number `score`"),
        ({"score": 0.9}, "no object with a number `score`"),
        ({"score": "0.9", "signature": "x"}, "no object with a number `score`"),
        ({"score": True, "signature": "x"}, "no object with a number `score`"),
        ({"score": 0.9, "signature": ""}, "its signature is not that of this request and score"),
        ({"score": 0.9, "signature": "0" * 64}, "its signature is not"),
        ({"score": 0.9, "signature": "ä"}, "its signature is not"),
        ({"score": 0.9, "signature": "x", "run": "another"}, "it answers another request: its run is 'another'"),
    ],
)
def test_a_result_that_is_not_right_is_ignored(tmp_path: Path, result: object, why: str) -> None:
    request = make(tmp_path, ExternalSettings())

    def act() -> None:
        put(asked(request), result)
        (warning,) = warned(request, 1)
        assert why in warning
        assert record(request)["state"] == "running"
        time.sleep(0.2)
        assert len(warned(request, 1)) == 1, "it is said once"
        put(asked(request), answer(asked(request), "0.5"))

    with partner(act):
        assert run(tmp_path, request).score == 0.5
    assert why in record(request)["warnings"][0]
    assert "warning: " in (tmp_path / "out" / STEP / "log").read_text()


def test_an_answer_counts_for_its_own_request_alone(tmp_path: Path) -> None:
    """Signed with the right key, but for another run, another action type, another request, another score."""
    document = {"run": "r", "action": "drag", "nonce": "n"}
    for name in document:
        other = answer({**document, name: "x"}, "0.9")
        with pytest.raises(ValueError, match="its signature is not"):
            external.read_result(other.encode(), document, KEY.encode())
    changed = answer(document, "0.5").replace("0.5", "0.9")
    for data in (changed, answer(document, "0.9", key="another key"), answer(document, "NaN"), answer(document, "1e999")):
        with pytest.raises(ValueError, match="its s"):
            external.read_result(data.encode(), document, KEY.encode())


def test_without_an_answer_the_report_has_a_hole(tmp_path: Path) -> None:
    request = make(tmp_path, ExternalSettings(timeout="0s"), ErrorSettings(retry=3, on=("timeout",), otherwise="stop"))
    found = run(tmp_path, request)
    assert (found.score, found.error) == (None, "run-1: step evaluate-drag: nobody answered within 0s")
    kept = record(request)
    assert (kept["state"], kept["end"], kept["tries"]) == ("missing", "timeout", 1)
    assert kept["external"].endswith("request.json")


def test_a_hole_may_be_filled_by_the_settings(tmp_path: Path) -> None:
    request = make(tmp_path, ExternalSettings(timeout="0s"), ErrorSettings(fallback=0.1))
    assert run(tmp_path, request).score == 0.1


def test_a_pod_that_is_killed_goes_on_waiting_for_the_same(tmp_path: Path, webhook: Webhook) -> None:
    """The settings allow no retry: waiting is not trying."""
    request = make(tmp_path, ExternalSettings(webhook=webhook.url))

    class KilledError(BaseException):
        pass

    def die(*_: object) -> None:
        raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(external, "_wait", die)
        with pytest.raises(KilledError):
            run(tmp_path, request)
    before = asked(request)
    ledger_of(request).write(request.run, STEP, {**record(request), "state": "running"})  # a pod that is killed writes no end
    with partner(lambda: put(before, answer(before, "0.5"))):
        assert run(tmp_path, request, attempt=1).score == 0.5
    assert asked(request) == before
    assert len(webhook.bodies) == 1


def test_the_time_to_wait_begins_with_the_request(tmp_path: Path) -> None:
    request = make(tmp_path, ExternalSettings(timeout="1s"))
    began = time.monotonic()
    run(tmp_path, request)
    assert time.monotonic() - began < 10
    began = time.monotonic()
    assert run(tmp_path, request, attempt=1).score is None
    assert time.monotonic() - began < 0.9


def test_a_run_that_goes_on_keeps_the_answer_or_asks_anew(tmp_path: Path) -> None:
    request = make(tmp_path, ExternalSettings())
    with partner(lambda: put(asked(request), answer(asked(request), "0.5"))):
        run(tmp_path, request)
    second = replace(request, run="run-2", origin=Origin(retried="run-1"))
    assert run(tmp_path, second).score == 0.5
    assert record(second)["kept"] == "run-1"
    third = replace(make(tmp_path, ExternalSettings(timeout="0s")), run="run-3", origin=Origin(retried="run-1", redo="evaluate"))
    assert run(tmp_path, third).score is None
    assert asked(third)["nonce"] != asked(request)["nonce"]


@pytest.mark.parametrize("answers", [[503], [429, 500, 502, 504]])
def test_a_webhook_is_told_again(tmp_path: Path, webhook: Webhook, answers: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib3

    monkeypatch.setattr(urllib3.Retry, "DEFAULT_BACKOFF_MAX", 0.01)
    webhook.answers = list(answers)
    run(tmp_path, make(tmp_path, ExternalSettings(webhook=webhook.url, timeout="0s")))
    assert len(webhook.bodies) == len(answers) + 1
    assert len(set(webhook.bodies)) == 1


@pytest.mark.parametrize(
    ("answers", "why", "posts"), [([403], "it answered 403", 1), ([302], "it answered 302", 1), ([500] * 9, "it answered 500", 5)]
)
def test_a_webhook_that_does_not_take_it(
    tmp_path: Path, webhook: Webhook, answers: list[int], why: str, posts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import urllib3

    monkeypatch.setattr(urllib3.Retry, "DEFAULT_BACKOFF_MAX", 0.01)
    webhook.answers = list(answers)
    with pytest.raises(LaunchError, match=f"/ask could not be told of the request: {why}") as caught:
        run(tmp_path, make(tmp_path, ExternalSettings(webhook=webhook.url)))
    assert "hidden" not in f"{caught.value.message} {caught.value.hint}"
    assert len(webhook.bodies) == posts


def test_a_webhook_that_is_not_there_may_leave_a_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "_TRIES", 1)
    request = make(tmp_path, ExternalSettings(webhook="http://127.0.0.1:1/ask"), ErrorSettings(otherwise="continue"))
    found = run(tmp_path, request)
    assert found.score is None
    assert "http://127.0.0.1:1/ask could not be told" in found.error


def test_without_a_key_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARTNER_KEY")
    request = make(tmp_path, ExternalSettings())
    with pytest.raises(LaunchError, match=r"there is no \$PARTNER_KEY") as caught:
        run(tmp_path, request)
    assert "[deploy] secrets" in caught.value.hint
    assert list(objects_of(request).list("external/")) == []


def test_a_missing_key_is_seen_before_anything_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = make(tmp_path, ExternalSettings(), evals=("drag",))
    resolve(Task(request))
    monkeypatch.delenv("PARTNER_KEY")
    resolve(Task(replace(request, evals=())))
    with pytest.raises(LaunchError, match=r"step evaluate-drag: there is no \$PARTNER_KEY"):
        resolve(Task(request))


def test_samples_that_the_commit_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="the commit has no data/drag") as caught:
        run(tmp_path, make(tmp_path, ExternalSettings(samples="data/drag")))
    assert "[flow.finetune.evals.drag] samples" in caught.value.hint


def test_no_command_sees_a_partners_key(tmp_path: Path) -> None:
    from builder.steps.command import run_command

    settings = FlowSettings(evals={"drag": ExternalSettings(key_env="PARTNER_KEY")})
    run_command(request_in(tmp_path, settings), "finetune", ("sh", "-c", 'test -z "$PARTNER_KEY"'), {"checkpoint": "c"})
