"""An evaluation that somebody else does: a request in the data root, a message to a webhook, and a signed result that is awaited.

external/<run>/<action>/request.json    what is asked, written once: a step that is tried again goes on waiting
external/<run>/<action>/told.json       when the webhook took the request
external/<run>/<action>/result.json     what the partner answers

Described for users in docs/how-to/external-evaluation.md.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from builder.data.checkpoints import blob_key, checkpoint_key, freeze
from builder.data.interface import Objects
from builder.data.ledger import now
from builder.errors import DataError, LaunchError
from builder.model.run import Evaluation
from builder.settings import ExternalSettings, seconds
from builder.steps.command import directory, log_path
from builder.steps.perform import Facts, UnansweredError
from builder.steps.publish import publish
from builder.steps.request import Request
from builder.steps.root import ledger_of, objects_of

SCHEMA = 1
SIGNATURE = "X-Builder-Signature"
"""The header of the webhook: `sha256=` and the HMAC-SHA256 of the body in hexadecimal digits."""

_FIRST_LOOK, _LOOK_EVERY, _SLOWER = 0.5, 30.0, 1.5  # seconds, seconds, and how much longer each wait is
_TRIES, _TIMEOUT = 5, 20.0
_TRANSIENT = (429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Question:
    """One action type that a partner evaluates for a run, and the key that both know."""

    request: Request
    step: str
    action: str
    settings: ExternalSettings
    key: bytes

    @property
    def objects(self) -> Objects:
        return objects_of(self.request)

    def place(self, name: str) -> str:
        return f"external/{self.request.run}/{self.action}/{name}"


def ask(request: Request, step: str, action: str, settings: ExternalSettings, checkpoint: str, facts: Facts) -> Evaluation:
    """Asks, unless that was done before, and waits for the answer.

    Raises LaunchError when nobody could be asked, UnansweredError when the time is up.
    """
    question = Question(request, step, action, settings, _key(request, step, settings))
    document = _document(question, checkpoint)
    facts["external"] = question.objects.url(question.place("request.json"))
    _tell(question, document)
    _log(question, f"{facts['external']}: waiting until {_time(document['expires'])} for {document['result']}")
    score = _wait(question, document, facts)
    took = round(time.time() - document["asked"], 3)
    facts.update(score=score, seconds=took)
    return Evaluation(action, score, took)


def check_keys(request: Request) -> None:
    """Raises LaunchError when a key is missing: before hours of training, not after."""
    for action in request.evals:
        settings = request.settings.evals[action]
        if isinstance(settings, ExternalSettings):
            _key(request, f"evaluate-{action}", settings)


def signature(key: bytes, data: bytes) -> str:
    """HMAC-SHA256 in hexadecimal digits."""
    return hmac.new(key, data, hashlib.sha256).hexdigest()


def signed_text(document: Mapping[str, Any], score: str) -> bytes:
    """What a partner signs: four lines. `score` is the number as it stands in the result."""
    return "\n".join((document["run"], document["action"], document["nonce"], score)).encode()


def read_result(data: bytes, document: Mapping[str, Any], key: bytes) -> float:
    """The score of a result that answers this very request. Raises ValueError(why not) on any other."""
    result = json.loads(data, parse_float=_Number, parse_int=_Number, parse_constant=_Number)
    score, signed = (result.get("score"), result.get("signature")) if isinstance(result, dict) else (None, None)
    if not (isinstance(score, _Number) and isinstance(signed, str)):
        raise ValueError("it is no object with a number `score` and a text `signature`")  # noqa: TRY004 - it is the partner's mistake
    for name in ("run", "action", "nonce"):
        if result.get(name, document[name]) != document[name]:
            raise ValueError(f"it answers another request: its {name} is {str(result[name])[:100]!r}")
    if not hmac.compare_digest(signature(key, signed_text(document, score)).encode(), signed.lower().encode()):
        raise ValueError("its signature is not that of this request and score")
    if not math.isfinite(float(score)):
        raise ValueError(f"its score is {score}")
    return float(score)


class _Number(str):
    """A number of a JSON document as it is written there: that is what is signed."""

    __slots__ = ()


def _key(request: Request, step: str, settings: ExternalSettings) -> bytes:
    key = os.environ.get(settings.key_env, "")
    if not key:
        hint = f"the result is signed with it; on Argo a secret that [deploy] secrets names holds {settings.key_env}"
        raise LaunchError(f"{request.run}: step {step}: there is no ${settings.key_env}", hint)
    return key.encode()


# --- the request ----------------------------------------------------------------------------------------------------------------------


def _document(question: Question, checkpoint: str) -> dict[str, Any]:
    """The request as it is kept; of two that are written at once the first counts."""
    key = question.place("request.json")
    found = question.objects.get(key)
    if found is None:
        document = _new_document(question, checkpoint)
        found = json.dumps(document, indent=1).encode()
        if not question.objects.put(key, found, new=True):
            found = question.objects.get(key) or found
    document = json.loads(found)
    if document["checkpoint"]["digest"] != checkpoint:
        text = f"{question.objects.url(key)} asks for {document['checkpoint']['digest']}, and the run has {checkpoint}"
        raise LaunchError(text, "start the run anew: one that goes on keeps what it has asked")
    return dict(document)


def _new_document(question: Question, checkpoint: str) -> dict[str, Any]:
    request, objects, asked = question.request, question.objects, int(time.time())
    if not checkpoint:
        raise LaunchError(f"{request.run}: step {question.step} has no checkpoint to evaluate")
    samples = _samples(question)
    return {
        "schema": SCHEMA,
        "run": request.run,
        "flow": request.flow,
        "action": question.action,
        "commit": request.commit,
        "reference": request.reference,
        "nonce": secrets.token_hex(16),
        "asked": asked,
        "expires": asked + seconds(question.settings.timeout),
        "checkpoint": _frozen(objects, checkpoint),
        "samples": _frozen(objects, samples) if samples else None,
        "result": objects.url(question.place("result.json")),
    }


def _frozen(objects: Objects, digest: str) -> dict[str, str]:
    """Where it is: the manifest lists every file with its sha256, under which (after its first two digits) `blobs` has it."""
    blobs = objects.url(blob_key("0" * 64)).removesuffix("/00/" + "0" * 64)
    return {"digest": digest, "manifest": objects.url(checkpoint_key(digest)), "blobs": blobs}


def _samples(question: Question) -> str:
    """The digest of what goes with the request, kept by content like a checkpoint."""
    name = question.settings.samples
    if not name:
        return ""
    path = Path(question.request.place.workdir) / name
    if path.is_dir():
        return freeze(question.objects, path).digest
    if not path.is_file():
        text = f"{question.request.run}: step {question.step}: the commit has no {name}"
        raise LaunchError(text, f"correct [flow.{question.request.flow}.evals.{question.action}] samples; [image] exclude leaves files out")
    alone = directory(question.request, question.step) / "samples"
    alone.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, alone / path.name)
    return freeze(question.objects, alone).digest


# --- the webhook ----------------------------------------------------------------------------------------------------------------------


def _tell(question: Question, document: Mapping[str, Any]) -> None:
    """Once; but a step that dies between the webhook's answer and writing it down tells again. The nonce is the same then."""
    told = question.place("told.json")
    if not question.settings.webhook or question.objects.get(told) is not None:
        return
    status = _post(question, json.dumps(document).encode())
    question.objects.put(told, json.dumps({"at": now(), "status": status}).encode(), new=True)


def _post(question: Question, body: bytes) -> int:
    import urllib3

    url = question.settings.webhook
    headers = {"Content-Type": "application/json", SIGNATURE: f"sha256={signature(question.key, body)}"}
    retries = urllib3.Retry(total=_TRIES - 1, backoff_factor=0.5, status_forcelist=_TRANSIENT, allowed_methods={"POST"}, redirect=0)
    retries.raise_on_redirect = retries.raise_on_status = False
    with urllib3.PoolManager(retries=retries, timeout=urllib3.Timeout(_TIMEOUT)) as pool:
        try:
            response = pool.request("POST", url, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise _untold(question, type(getattr(error, "reason", None) or error).__name__) from error
    if not 200 <= response.status < 300:
        raise _untold(question, f"it answered {response.status}")
    return int(response.status)


def _untold(question: Question, why: str) -> LaunchError:
    name = urlunsplit(urlsplit(question.settings.webhook)._replace(query=""))
    hint = f"tried {_TRIES} times; [flow.{question.request.flow}.evals.{question.action}] webhook names it"
    return LaunchError(f"{question.request.run}: step {question.step}: {name} could not be told of the request: {why}", hint)


# --- the result -----------------------------------------------------------------------------------------------------------------------


def _wait(question: Question, document: Mapping[str, Any], facts: Facts) -> float:
    pause, refused = _FIRST_LOOK, ""
    while True:
        data, trouble = _look(question)
        if data is not None:
            try:
                return read_result(data, document, question.key)
            except (ValueError, RecursionError) as error:
                trouble = f"{document['result']} is ignored: {error}"
        if trouble and trouble != refused:
            refused = trouble
            _warn(question, facts, trouble)
        left = document["expires"] - time.time()
        if left <= 0:
            raise _unanswered(question, refused)
        time.sleep(min(pause, max(left, 0.05)))
        pause = min(pause * _SLOWER, _LOOK_EVERY)


def _look(question: Question) -> tuple[bytes | None, str]:
    """The result, if there is one. A data root that does not answer for a while does not end a wait of hours."""
    try:
        return question.objects.get(question.place("result.json")), ""
    except DataError as error:
        return None, error.message


def _warn(question: Question, facts: Facts, text: str) -> None:
    """In the step's record at once: a person must see it while there is time."""
    facts.setdefault("warnings", []).append(text)
    run, ledger = question.request.run, ledger_of(question.request)
    ledger.write(run, question.step, {**ledger.read(run).get(question.step, {}), **facts})
    _log(question, f"warning: {text}")


def _unanswered(question: Question, refused: str) -> UnansweredError:
    text = f"{question.request.run}: step {question.step}: nobody answered within {question.settings.timeout}"
    return UnansweredError(f"{text}; {refused}" if refused else text, f"[flow.{question.request.flow}.evals.{question.action}] timeout")


def _log(question: Question, line: str) -> None:
    path = log_path(question.request, question.step)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log:
        log.write(f"{now()} {line}\n")
    publish(question.request, question.step, {path.name: path})


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
