"""In a container of the commit's image commands get back what the commit lost; the image itself has none of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.cli.frame import run as builder
from tests.fixtures.repositories import at_nobodys_home  # noqa: F401
from tests.fixtures.slimmed_team import SETTINGS, TOOL, WEIGHTS, Slimmed, history, slimmed
from tests.integration.test_data_cli import blob_of, said, spoil

pytestmark = [pytest.mark.docker, pytest.mark.registry]


@pytest.fixture(name="slim")
def a_team_with_docker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docker_host: str, docker_registry: str, ngc_base: str
) -> Iterator[Slimmed]:
    """The archive is a directory of its own, which the container must see, too."""
    from docker import DockerClient

    monkeypatch.setenv("DOCKER_HOST", docker_host)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = f"{docker_registry}/test-{uuid.uuid4().hex[:8]}"
    settings = SETTINGS.replace('base = "scratch"', f'base = "{ngc_base}"\npython = "3.11"')
    done = slimmed(
        tmp_path, *history(f'{settings}\n[store]\nto = "{store}"\n[data]\narchive = "{tmp_path}/kept"\n'), archive=tmp_path / "kept"
    )
    monkeypatch.chdir(done.clone.directory)
    client = DockerClient(base_url=docker_host, version="auto")
    client.images.pull(ngc_base)
    yield done
    for image in client.images.list(name=store):
        client.images.remove(image.id, force=True)
    client.close()


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert builder(["run", *words, "-o", "json"]) == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_both_kinds_of_flows(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    built_in, own = ran(capsys, f"finetune@{slim.was}", "--on", "docker"), ran(capsys, f"own@{slim.was}", "--on", "docker")
    here = ran(capsys, f"finetune@{slim.was}", "--on", "local", "--again")
    assert built_in["scores"] == {"click": WEIGHTS[0] / 256}
    assert own["scores"] == {"first": WEIGHTS[0] / 256, "executable": 1.0}
    assert built_in["restored"] == here["restored"] and built_in["restored"]["files"] == 4
    assert own["restored"] == built_in["restored"]
    assert (built_in["identity"], built_in["reference"]) == (here["identity"], here["reference"])
    assert said(capsys, "verify", slim.was)[0], "the image is exactly its commit"


def test_a_damaged_archive(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(blob_of(slim, TOOL), b"another tool")
    for flow in ("finetune", "own"):
        _, err = said(capsys, "run", f"{flow}@{slim.was}", "--on", "docker", code=1)
        assert "bin/tool cannot be restored" in err and "is damaged" in err
