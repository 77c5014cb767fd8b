"""`builder test`: the team's tests in a container of the very image, in a real engine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.cli.frame import run
from tests.fixtures.repositories import Repository

pytestmark = [pytest.mark.docker, pytest.mark.registry]

SETTINGS = """
[image]
base = "{base}"
python = "3.11"
[image.env]
GREETING = "good morning"
[store]
to = "{store}"
[run.docker]
network = "none"
env = ["SEED"]
[ci]
test = ["python", "-m", "team.check"]
"""
CHECK = """
import os, pathlib, sys
print(os.environ["GREETING"], os.environ["BUILDER_COMMIT"], os.getcwd(), os.environ.get("SEED"))
pathlib.Path("left").write_text("behind")
sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
"""


@pytest.fixture
def engine(docker_host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from docker import DockerClient

    monkeypatch.setenv("DOCKER_HOST", docker_host)
    client = DockerClient(base_url=docker_host, version="auto")
    yield client
    client.close()


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Any, docker_registry: str, ngc_base: str) -> Iterator[Repository]:
    store = f"{docker_registry}/test/{uuid.uuid4().hex[:12]}"
    repository = Repository.make(tmp_path / "repository")
    files = {"builder.toml": SETTINGS.format(base=ngc_base, store=store), "team/__init__.py": "", "team/check.py": CHECK}
    repository.history({name: text.encode() for name, text in files.items()})
    repository.check_out()
    monkeypatch.chdir(repository.directory)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield repository
    for image in engine.images.list(name=store):
        engine.images.remove(image.id, force=True)


def test_the_teams_tests(team: Repository, engine: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In one image, as it takes a while to make: what it sees, how it ends, and that nothing stays."""
    monkeypatch.setenv("SEED", "7")
    head = team.text("rev-parse", "HEAD")
    assert run(["test", "--commit", "HEAD"]) == 0
    said = capfd.readouterr()
    assert said.out == f"good morning {head} /code 7\n"
    assert f"next: builder deploy --commit {head[:12]}" in said.err
    assert "@sha256:" in said.err

    assert run(["test", "--", "python", "-m", "team.check", "3"]) == 1
    said = capfd.readouterr()
    assert said.out.startswith("good morning")
    assert "error: python ended with 3 in 127.0.0.1" in said.err

    assert run(["test", "no-such-program", "--flag"]) == 1
    assert "no-such-program" in capfd.readouterr().err

    assert run(["test", "sh", "-c", "echo out; echo err >&2; cat left 2>/dev/null || echo clean"]) == 0
    assert set(capfd.readouterr().out.splitlines()) == {"out", "err", "clean"}
    store = said.err.partition(" in ")[2].partition("@")[0]
    left = engine.containers.list(all=True, filters={"label": "builder/test"})
    assert store
    assert [container.name for container in left if store in container.attrs["Config"]["Image"]] == []


def test_an_image_that_no_engine_can_run(team: Repository, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDER_STORE_TO", "oci:images")
    assert run(["test"]) == 2
    assert "hint: with BUILDER_STORE_TO=docker:" in capfd.readouterr().err
