"""Credentials from Docker's configuration, its helpers, and AWS."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from builder.errors import AuthError, StoreError
from builder.model.reference import DOCKER_HUB, Repository
from builder.stores.registry import ecr
from builder.stores.registry.credentials import Credential, docker_credential, find_credential, given_credential

ECR_HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.fixture
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "config.json"


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def helper(directory: Path, name: str, answer: object, code: int = 0) -> None:
    """A docker-credential-NAME that answers this for every server, and writes down which."""
    file = directory / f"docker-credential-{name}"
    file.write_text(
        f"#!/bin/sh\ncat >> {directory}/asked\ncat <<'EOT'\n{answer if isinstance(answer, str) else json.dumps(answer)}\nEOT\nexit {code}\n"
    )
    file.chmod(0o755)


def test_no_config_is_nobody(docker_config: Path) -> None:
    assert docker_credential("registry.example") is None
    assert find_credential("registry.example") is None


def test_a_login_is_found_by_host(docker_config: Path) -> None:
    docker_config.write_text(
        json.dumps({"auths": {"registry.example:5000": auth("me", "pass:word"), "https://other.example/v1/": auth("you", "x")}})
    )
    assert docker_credential("registry.example:5000") == Credential("me", "pass:word")
    assert docker_credential("other.example") == Credential("you", "x")
    assert docker_credential("third.example") is None


def test_docker_hub_has_a_name_of_its_own(docker_config: Path) -> None:
    docker_config.write_text(json.dumps({"auths": {"https://index.docker.io/v1/": auth("me", "x")}}))
    assert docker_credential(DOCKER_HUB) == Credential("me", "x")


def test_an_identity_token_is_found(docker_config: Path) -> None:
    docker_config.write_text(json.dumps({"auths": {"registry.example": {"identitytoken": "idt"}}}))
    assert docker_credential("registry.example") == Credential(identity_token="idt")


def test_a_helper_is_asked_for_its_host(docker_config: Path) -> None:
    helper(docker_config.parent, "mine", {"ServerURL": "registry.example", "Username": "me", "Secret": "s"})
    docker_config.write_text(json.dumps({"credHelpers": {"registry.example": "mine"}}))
    assert docker_credential("registry.example") == Credential("me", "s")
    assert docker_credential("other.example") is None
    assert (docker_config.parent / "asked").read_text() == "registry.example"


def test_a_credential_store_is_asked_for_every_host(docker_config: Path) -> None:
    helper(docker_config.parent, "all", {"ServerURL": "registry.example", "Username": "<token>", "Secret": "idt"})
    docker_config.write_text(json.dumps({"credsStore": "all"}))
    assert docker_credential("registry.example") == Credential(identity_token="idt")


def test_a_store_without_an_entry_is_nobody(docker_config: Path) -> None:
    helper(docker_config.parent, "none", "credentials not found in native keychain", code=1)
    docker_config.write_text(json.dumps({"credsStore": "none", "auths": {"registry.example": {}}}))
    assert docker_credential("registry.example") is None


@pytest.mark.parametrize(
    "config",
    [{"auths": {"registry.example": {"auth": "bm9jb2xvbg=="}}}, {"auths": {"registry.example": "nonsense"}}],
)
def test_a_config_that_does_not_work_is_an_error_without_secrets(docker_config: Path, config: dict[str, object]) -> None:
    docker_config.write_text(json.dumps(config))
    with pytest.raises(AuthError, match=r"registry\.example") as caught:
        docker_credential("registry.example")
    assert caught.value.hint == "docker login registry.example"
    assert "bm9jb2xvbg" not in caught.value.message


@pytest.mark.parametrize("config", [{"credsStore": "absent"}, {"credHelpers": {"registry.example": "absent"}}])
def test_a_helper_that_is_not_there_is_named(docker_config: Path, config: dict[str, object]) -> None:
    docker_config.write_text(json.dumps(config))
    with pytest.raises(AuthError, match="docker-credential-absent, which is not on PATH") as caught:
        docker_credential("registry.example")
    assert str(docker_config) in caught.value.message


def test_a_helper_that_fails_is_named_without_what_it_said(docker_config: Path) -> None:
    helper(docker_config.parent, "broken", "s3cret-word", code=2)
    docker_config.write_text(json.dumps({"credsStore": "broken"}))
    with pytest.raises(AuthError, match="docker-credential-broken gives no usable credentials") as caught:
        docker_credential("registry.example")
    assert "s3cret-word" not in caught.value.message


@pytest.mark.parametrize("content", [b'{"auths": registry.example', b"\xff\xfe{}", b"[" * 100_000])
def test_a_config_that_is_no_json_is_told_of(docker_config: Path, content: bytes) -> None:
    docker_config.write_bytes(content)
    said: list[str] = []
    assert find_credential("registry.example", said.append) is None
    assert said == [f"{docker_config} is not JSON, so none of its credentials are used"]


def test_a_config_that_cannot_concern_the_host_costs_no_import(docker_config: Path) -> None:
    docker_config.write_text(json.dumps({"auths": {"other.example": auth("me", "x")}}))
    code = "import sys; from builder.stores.registry import credentials; credentials.find_credential('registry.example'); "
    code += "assert 'docker' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (ECR_HOST, "eu-west-1"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example", ""),
        ("evil.example", ""),
        ("x123456789012.dkr.ecr.eu-west-1.amazonaws.com", ""),
    ],
)
def test_an_ecr_host_is_known_by_its_shape(host: str, region: str) -> None:
    assert ecr.region(host) == region


@pytest.fixture
def aws(docker_config: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        yield


def test_ecr_gives_a_password(aws: object) -> None:
    found = find_credential(ECR_HOST)
    assert found is not None
    assert found.username == "AWS"
    assert found.password


def test_a_login_goes_before_aws(aws: object, docker_config: Path) -> None:
    docker_config.write_text(json.dumps({"auths": {ECR_HOST: auth("me", "x")}}))
    assert find_credential(ECR_HOST) == Credential("me", "x")


def test_an_ecr_repository_is_made_once(aws: object) -> None:
    import boto3

    repository = Repository(ECR_HOST, "team/app")
    ecr.create_repository(repository)
    ecr.create_repository(repository)
    names = [found["repositoryName"] for found in boto3.client("ecr", region_name="eu-west-1").describe_repositories()["repositories"]]
    assert names == ["team/app"]


def test_aws_without_credentials_is_plain(docker_config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(AuthError, match="NoCredentialsError"):
        find_credential(ECR_HOST)
    with pytest.raises(StoreError, match="team/app"):
        ecr.create_repository(Repository(ECR_HOST, "team/app"))


def test_a_job_of_github_opens_its_own_registry_with_its_own_token(docker_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "t0ken")
    monkeypatch.setenv("GITHUB_ACTOR", "ada")
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert find_credential("ghcr.io") is None, "somebody's own token, which may be for other things"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert find_credential("ghcr.io") == Credential("ada", "t0ken")
    assert given_credential("ghcr.io") == Credential("ada", "t0ken")
    assert find_credential("evil.example") is None
    docker_config.write_text(json.dumps({"auths": {"ghcr.io": auth("me", "x")}}))
    assert find_credential("ghcr.io") == Credential("me", "x")
    assert given_credential("ghcr.io") is None, "Docker knows it already"


def test_a_cloud_gives_nothing_for_other_hosts(aws: object, docker_config: Path) -> None:
    assert given_credential("registry.example") is None
    given = given_credential(ECR_HOST)
    assert given is not None
    assert given.username == "AWS"
