"""A job of CI is to AWS what its role says: the provider's token vouches for it, against a server that speaks as AWS's does."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from builder import aws
from builder.errors import AuthError

ROLE = "arn:aws:iam::123456789012:role/builder"
CREDENTIALS = (
    '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>'
    "<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>session</SessionToken>"
    "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
)


class Server:
    """STS, and what GitHub gives its jobs; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.status, self.answer = 200, json.dumps({"value": "of-github"})
        self.url = ""


@pytest.fixture(name="server")
def a_server() -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            server.asked.append({name: values[0] for name, values in parse_qs(body).items()})
            self._say(200, CREDENTIALS)

        def do_GET(self) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            server.asked.append({**query, "bearer": self.headers.get("Authorization", "")})
            self._say(server.status, server.answer)

        def _say(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        server.url = f"http://127.0.0.1:{http.server_port}"
        yield server
        http.shutdown()


@contextmanager
def job(**environ: str) -> Iterator[dict[str, str]]:
    """The variables of a job, and no others of AWS; what is written is taken away."""
    told = {"AWS_ROLE_ARN": ROLE, **environ}
    try:
        yield told
    finally:
        if told.get(aws.FILE, "").startswith("/tmp/builder-token-"):
            Path(told[aws.FILE]).unlink(missing_ok=True)


def test_circleci_vouches_with_a_token_of_its_own() -> None:
    with job(CIRCLE_OIDC_TOKEN_V2="two", CIRCLE_OIDC_TOKEN="one", AWS_REGION="eu-west-1", CIRCLE_WORKFLOW_JOB_ID="x" * 80) as told:
        aws.be_the_role(told)
        file = Path(told[aws.FILE])
        assert file.read_text() == "two"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert told["AWS_DEFAULT_REGION"] == "eu-west-1"
        assert told["AWS_ROLE_SESSION_NAME"] == ("builder-" + "x" * 80)[:64]
        aws.be_the_role(told)
        assert told[aws.FILE] == str(file), "the second time it does nothing"


def test_github_is_asked_for_one(server: Server) -> None:
    with job(ACTIONS_ID_TOKEN_REQUEST_URL=f"{server.url}/token?api=1", ACTIONS_ID_TOKEN_REQUEST_TOKEN="b", GITHUB_RUN_ID="7") as told:
        aws.be_the_role(told)
        assert Path(told[aws.FILE]).read_text() == "of-github"
        assert server.asked == [{"api": "1", "audience": "sts.amazonaws.com", "bearer": "bearer b"}]
        assert told["AWS_ROLE_SESSION_NAME"] == "builder-7"


@pytest.mark.parametrize(("status", "answer"), [(403, "no"), (200, "no json"), (200, "{}"), (200, '{"value": 1}'), (200, "[1]")])
def test_what_github_refuses_is_plain(server: Server, status: int, answer: str) -> None:
    server.status, server.answer = status, answer
    with job(ACTIONS_ID_TOKEN_REQUEST_URL=f"{server.url}/?a=1", ACTIONS_ID_TOKEN_REQUEST_TOKEN="s3cret") as told:
        with pytest.raises(AuthError, match="gives this job no token") as caught:
            aws.be_the_role(told)
        assert "id-token: write" in caught.value.hint
        assert "s3cret" not in caught.value.message
        assert aws.FILE not in told


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"])
def test_what_the_environment_says_already_goes_first(name: str) -> None:
    with job(CIRCLE_OIDC_TOKEN_V2="two", **{name: "there"}) as told:
        before = dict(told)
        aws.be_the_role(told)
        assert told == before


@pytest.mark.parametrize(
    "told", [{}, {"CIRCLE_OIDC_TOKEN_V2": "t"}, {"AWS_ROLE_ARN": "", "CIRCLE_OIDC_TOKEN_V2": "t"}, {"AWS_ROLE_ARN": ROLE}]
)
def test_without_a_role_or_a_token_nobody_is_anybody(told: dict[str, str]) -> None:
    before = dict(told)
    aws.be_the_role(told)
    assert told == before


CODE = """
import os, sys
from builder.data.s3_environment import s3_environment
from builder.stores.registry import ecr
print(ecr.client("123456789012.dkr.ecr.eu-west-1.amazonaws.com")._request_signer._credentials.access_key)
print(s3_environment({})["AWS_SESSION_TOKEN"], os.environ["AWS_WEB_IDENTITY_TOKEN_FILE"])
"""


def test_aws_is_told_the_role_and_the_token(server: Server, tmp_path: Path) -> None:
    """In a process of its own, from the variables of a job to credentials of the role, through boto3 itself."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environ |= {"AWS_ENDPOINT_URL_STS": server.url, "AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path), "AWS_REGION": "eu-west-1"}
    environ |= {"AWS_ROLE_ARN": ROLE, "CIRCLE_OIDC_TOKEN_V2": "of-circleci"}
    done = subprocess.run([sys.executable, "-c", CODE], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    access_key, session, file = done.stdout.split()
    assert (access_key, session) == ("ASIAROLE", "session")
    assert {(asked["RoleArn"], asked["WebIdentityToken"]) for asked in server.asked} == {(ROLE, "of-circleci")}
    assert not Path(file).exists(), "the token goes with the process"
