"""Two jobs of one push: that of the image, without Docker, waits for what that of the dependencies builds, and for nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.fixtures.repositories import Repository, clone
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.registry, pytest.mark.timeout(900)]

SETTINGS = (
    '[image]\nbase = "{base}"\npython = "3.11"\n[image.deps]\ndockerfile = "Dockerfile"\ncontext = ["packages"]\n[store]\nto = "{store}"\n'
)
DOCKERFILE = b"ARG BASE\nFROM ${BASE}\nCOPY packages /opt/packages\n"


def test_the_image_is_made_as_soon_as_it_can_be(
    tmp_path: Path, docker_registry: str, ngc_base: str, docker_host: str, docker_cli: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.format(base=ngc_base, store=f"{docker_registry}/test/{uuid.uuid4().hex[:12]}")
    team = Repository.make(tmp_path / "team")
    files = {"builder.toml": settings.encode(), "Dockerfile": DOCKERFILE, "packages": b"one"}
    team.history(files, {"packages": b"two"}, {"packages": b"two", "notes": b"1"})
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").symlink_to(docker_cli)

    def job(name: str, *words: str, **environ: str) -> subprocess.Popen[str]:
        """In a checkout, a home and a machine of its own."""
        place = clone(team, tmp_path / name, "--filter=blob:none")
        own = {"HOME": str(tmp_path / f"{name}-home"), "XDG_CACHE_HOME": str(tmp_path / f"{name}-cache"), **environ}
        with (tmp_path / f"{name}.log").open("w") as log:
            argv = [sys.executable, "-m", "builder", *words]
            return subprocess.Popen(argv, cwd=place.directory, env={**os.environ, **own}, stdout=subprocess.PIPE, stderr=log, text=True)

    image = job("image", "image", "--missing", "-o", "json", DOCKER_HOST="unix:///nowhere", BUILDER_CI_WAIT="10m")
    try:
        until(lambda: "waiting for the job that brings it" in (tmp_path / "image.log").read_text() or image.poll() is not None)
        assert image.poll() is None, (tmp_path / "image.log").read_text()
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        deps = job("deps", "deps", "--missing", "-o", "name", DOCKER_HOST=docker_host, PATH=path)
        built, _ = deps.communicate(timeout=600)
        assert deps.returncode == 0, (tmp_path / "deps.log").read_text()
        assert len(built.split()) == 2, "one for each key"
        made, _ = image.communicate(timeout=600)
    finally:
        image.kill()
    assert image.returncode == 0, (tmp_path / "image.log").read_text()
    assert [len(one["digest"]) for one in json.loads(made)] == [71] * 3
