"""Building a Dockerfile: what is said when the engine cannot."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from builder.errors import DepsError
from builder.image.deps import BuildPlace, engines
from builder.image.deps.engines import BuildRequest, build_with_docker, choose


def docker(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A `docker` on PATH."""
    (directory / "bin").mkdir()
    (directory / "bin/docker").write_text(f"#!/bin/sh\n{script}\n")
    (directory / "bin/docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(directory / "bin"), prepend=":")


def test_a_daemon_that_hangs_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker(tmp_path, monkeypatch, "exec sleep 60")
    monkeypatch.setattr(engines, "_ANSWERS_WITHIN", 0.2)
    began = time.monotonic()
    with pytest.raises(DepsError, match="no Docker engine answers") as caught:
        choose(BuildPlace("registry.test/x"))
    assert time.monotonic() - began < 10
    assert "BUILDKIT_HOST" in caught.value.hint


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("ERROR: BuildKit is enabled but the buildx component is missing or broken.", "buildx"),
        ("unknown flag: --progress", "buildx"),
        ("the --mount option requires BuildKit.", "buildx"),
        ("failed to solve: network bridge not found", "bridge"),
        ("error: granting entitlement network.host is not allowed by build daemon configuration", "--allow-insecure-entitlement"),
        ("write /x: no space left on device", "make room"),
        ("pull access denied, repository does not exist or may require authorization", "docker login"),
        ("RUN pip install nothing: exit code: 1", "correct the Dockerfile"),
    ],
)
def test_the_hint_is_about_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, hint: str) -> None:
    docker(tmp_path, monkeypatch, f"[ $1 = build ] && echo '{said}' >&2; exit 1")
    request = BuildRequest(tmp_path / "Dockerfile", tmp_path, {}, "", "linux/amd64", "registry.test/x", "key")
    with pytest.raises(DepsError) as caught:
        build_with_docker(request)
    assert said in caught.value.message
    assert hint in caught.value.hint


def test_what_a_cloud_gives_goes_along_and_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    (own / "cli-plugins").mkdir(parents=True)
    (own / "config.json").write_text('{"auths": {"other.test": {"auth": "eDp5"}}, "proxies": {}}')
    seen = tmp_path / "seen"
    docker(
        tmp_path, monkeypatch, f'echo "$1 $DOCKER_CONFIG" >> {seen}; ls $DOCKER_CONFIG >> {seen}; cat $DOCKER_CONFIG/config.json >> {seen}'
    )
    for name, value in {"DOCKER_CONFIG": str(own), "GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "ada", "GITHUB_TOKEN": "t0ken"}.items():
        monkeypatch.setenv(name, value)
    build_with_docker(BuildRequest(tmp_path / "Dockerfile", tmp_path, {}, "", "linux/amd64", "ghcr.io/team/x", "key"))
    told = seen.read_text()
    assert told.count('"ghcr.io": {"auth": "YWRhOnQwa2Vu"}') == 2, "the build, and the push"
    assert told.count('"other.test": {"auth": "eDp5"}') == 2 + 1  # and once where it asks for buildx, with what is its own
    assert "cli-plugins" in told
    used = {line.split()[1] for line in told.splitlines() if line.startswith(("buildx build", "push"))} - {str(own)}
    assert not any(Path(directory).exists() for directory in used)
    assert (own / "config.json").read_text() == '{"auths": {"other.test": {"auth": "eDp5"}}, "proxies": {}}'
