"""With which credentials Docker's engine pulls an image: its own configuration's, or those that the registry's cloud gives this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from docker.errors import ImageNotFound

from builder.model.progress import SILENT
from builder.runs import docker


class Engine:
    """Has no image, and remembers how it was asked to pull."""

    def __init__(self) -> None:
        self.images = self.api = self
        self.asked: list[tuple[str, Any]] = []

    def get(self, image: str) -> None:
        raise ImageNotFound(image)

    def pull(self, name: str, *, auth_config: dict[str, str] | None, **_: object) -> list[dict[str, str]]:
        self.asked.append((name, auth_config))
        return [{"status": "Pull complete"}]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    engine = Engine()

    @contextmanager
    def opened() -> Iterator[Engine]:
        yield engine

    monkeypatch.setattr(docker, "engine", opened)
    for name, value in {"DOCKER_CONFIG": str(tmp_path), "GITHUB_ACTIONS": "true", "GITHUB_TOKEN": "t", "GITHUB_ACTOR": "ada"}.items():
        monkeypatch.setenv(name, value)
    return engine


def test_what_a_cloud_gives_goes_to_its_own_registry_alone(engine: Engine, tmp_path: Path) -> None:
    for name in ("ghcr.io/team/x", "registry.example/x", "127.0.0.1:5000/ghcr.io/x"):
        docker.bring_image(f"{name}@sha256:{'a' * 64}", SILENT)
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"ghcr.io": {"auth": "bWU6eA=="}}}))
    docker.bring_image(f"ghcr.io/team/x@sha256:{'a' * 64}", SILENT)
    assert engine.asked == [
        ("ghcr.io/team/x", {"username": "ada", "password": "t"}),
        ("registry.example/x", None),
        ("127.0.0.1:5000/ghcr.io/x", None),
        ("ghcr.io/team/x", None),
    ]
