"""Other people's programs read the images: Docker runs them, skopeo copies them, containerd unpacks them."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.cli import frame
from builder.demo.history import make_repository
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, executable  # noqa: F401


@dataclass(frozen=True)
class Pushed:
    repository: Repository
    reference: str

    @property
    def sha(self) -> str:
        return self.repository.text("rev-parse", "HEAD")


def output(*words: str, **environment: str) -> str:
    done = subprocess.run(words, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def push(repository: Repository, registry: str, base: str, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Into a repository of its own, which mounts the base's layers."""
    to = f"{registry}/test/{uuid.uuid4().hex[:12]}"
    capsys.readouterr()
    assert frame.run(["image", "--repo", str(repository.directory), "--base", base, "--to", to, *words]) == 0, capsys.readouterr().err
    return capsys.readouterr().out.strip()


FILES = {
    "team/__init__.py": b"",
    "team/model.py": b"ANSWER = 42\n",
    "run.sh": executable(b"#!/bin/sh\necho ran\n"),
    "link.py": "team/model.py",
    "dir link": "team",
    "name\nwith line": b"1",
    b"\xff\xfe": b"2",
    "/".join(["long" * 12] * 6): b"3",
}
LOOK = """
import json, os, sys
from team.model import ANSWER
print(json.dumps({
    "commit": os.environ["BUILDER_COMMIT"], "cwd": os.getcwd(), "answer": ANSWER, "link": os.readlink("link.py"),
    "runs": os.access("run.sh", os.X_OK) and not os.access("team/model.py", os.X_OK),
    "files": sorted(os.path.relpath(os.path.join(d, f), "/code") for d, _, fs in os.walk("/code") for f in fs if "__pycache__" not in d),
}))
"""


@pytest.fixture
def pushed(repository: Repository, docker_registry: str, ngc_base: str, capsys: pytest.CaptureFixture[str]) -> Pushed:
    """A small package, and what is hard to unpack, on the base that is shaped like NVIDIA's."""
    repository.commit(FILES)
    repository.check_out()
    return Pushed(repository, push(repository, docker_registry, ngc_base, capsys))


@pytest.mark.docker
@pytest.mark.registry
class TestDocker:
    @pytest.fixture
    def docker(self, docker_cli: str, docker_host: str, pushed: Pushed) -> Iterator[tuple[str, ...]]:
        yield docker_cli, "--host", docker_host
        subprocess.run([docker_cli, "--host", docker_host, "image", "rm", "--force", pushed.reference], capture_output=True)

    def test_runs_it_by_digest(self, docker: tuple[str, ...], pushed: Pushed) -> None:
        output(*docker, "pull", "--quiet", pushed.reference)
        said = json.loads(output(*docker, "run", "--rm", "--network=none", pushed.reference, "python", "-c", LOOK).splitlines()[-1])
        assert (said["commit"], said["cwd"], said["answer"], said["link"], said["runs"]) == (pushed.sha, "/code", 42, "team/model.py", True)
        expected = {path.decode("utf-8", "surrogateescape") for path in pushed.repository.files()} - {"dir link"}
        assert set(said["files"]) == expected

    def test_inspects_it(self, docker: tuple[str, ...], pushed: Pushed) -> None:
        output(*docker, "pull", "--quiet", pushed.reference)
        (found,) = json.loads(output(*docker, "image", "inspect", pushed.reference))
        assert pushed.reference in found["RepoDigests"]
        assert found["Config"]["Labels"]["org.opencontainers.image.revision"] == pushed.sha
        assert found["Config"]["WorkingDir"] == "/code"
        history = output(*docker, "history", "--no-trunc", "--format", "{{.CreatedBy}}", pushed.reference)
        assert history.splitlines()[0].startswith("builder: code")

    def test_a_commit_on_top_brings_little(
        self, docker: tuple[str, ...], pushed: Pushed, capsys: pytest.CaptureFixture[str], ngc_base: str
    ) -> None:
        """A node that has the parent's image pulls the changed layer only."""
        output(*docker, "pull", "--quiet", pushed.reference)
        pushed.repository.commit({"team/model.py": b"ANSWER = 43\n"})
        words = [
            "image",
            "--repo",
            str(pushed.repository.directory),
            "--commit",
            "main",
            "--base",
            ngc_base,
            "--to",
            pushed.reference.partition("@")[0],
        ]
        assert frame.run(words) == 0
        reference = capsys.readouterr().out.strip()
        said = output(*docker, "pull", reference)
        assert said.count("Pull complete") == 1
        assert "43" in output(
            *docker, "run", "--rm", "--network=none", reference, "python", "-c", "from team.model import ANSWER; print(ANSWER)"
        )
        output(*docker, "image", "rm", "--force", reference)


@pytest.mark.registry
class TestSkopeo:
    def test_copies_it(self, skopeo: str, pushed: Pushed, tmp_path: Path) -> None:
        target = f"oci:{tmp_path}/copy:it"
        output(skopeo, "copy", "--src-tls-verify=false", f"docker://{pushed.reference}", target)
        index = json.loads((tmp_path / "copy/index.json").read_bytes())
        assert index["manifests"][0]["digest"] == pushed.reference.rpartition("@")[2]

    def test_inspects_it(self, skopeo: str, pushed: Pushed) -> None:
        found = json.loads(output(skopeo, "inspect", "--tls-verify=false", f"docker://{pushed.reference}"))
        assert found["Labels"]["org.opencontainers.image.revision"] == pushed.sha
        assert found["Digest"] == pushed.reference.rpartition("@")[2]
        assert {pushed.sha} <= set(found["RepoTags"])

    def test_reads_a_layout(self, skopeo: str, repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        repository.commit(FILES)
        repository.check_out()
        layout = tmp_path / "images"
        assert frame.run(["image", "--repo", str(repository.directory), "--base", "scratch", "--to", f"oci:{layout}"]) == 0
        digest = capsys.readouterr().out.strip().rpartition("@")[2]
        sha = repository.text("rev-parse", "HEAD")
        found = json.loads(output(skopeo, "inspect", f"oci:{layout}:{sha}"))
        assert found["Digest"] == digest
        output(skopeo, "copy", f"oci:{layout}:{sha}", f"dir:{tmp_path}/plain")


@pytest.mark.registry
@pytest.mark.containerd
def test_containerd_unpacks_it(containerd_socket: str, pushed: Pushed, tmp_path: Path) -> None:
    ctr = ("ctr", "--address", containerd_socket, "--namespace", f"test-{uuid.uuid4().hex[:8]}")
    place = tmp_path / "rootfs"
    place.mkdir()
    output(*ctr, "images", "pull", "--plain-http", pushed.reference)
    try:
        output(*ctr, "images", "mount", pushed.reference, str(place))
        for path, (_, content) in pushed.repository.files().items():
            file = place / "code" / os.fsdecode(path)
            found = os.fsencode(file.readlink()) if file.is_symlink() else file.read_bytes()
            assert found == content, path
        assert (place / "usr").is_dir()
    finally:
        subprocess.run([*ctr, "images", "unmount", "--rm", str(place)], capture_output=True)
        output(*ctr, "images", "rm", "--sync", pushed.reference)


@pytest.mark.docker
@pytest.mark.registry
def test_the_examples_training_runs_inside(
    docker_cli: str, docker_host: str, docker_registry: str, ngc_base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_repository(tmp_path / "agent", os.environ["PATH"])
    agent = Repository(tmp_path / "agent")
    reference = push(agent, docker_registry, ngc_base, capsys)
    docker = (docker_cli, "--host", docker_host)
    config = "configs/finetune.yaml"
    train, evaluate = (
        f"python -m agent.train --config {config}",
        f"python -m agent.evaluate --config {config} --action click --checkpoint runs/last",
    )
    try:
        said = output(*docker, "run", "--rm", "--network=none", reference, "sh", "-c", f"{train} && {evaluate} && find runs -type f")
        assert "loss" in said
        assert "runs/last" in said
    finally:
        subprocess.run([*docker, "image", "rm", "--force", reference], capture_output=True)
