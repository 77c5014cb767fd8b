"""`builder run --on docker`: a container of the commit's image in a real engine, and what it leaves on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.errors import LaunchError
from builder.runs import docker
from builder.runs.alive import is_alive
from tests.fixtures.steered import SETTINGS, TRAIN, Steered, steered
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.registry]

DOCKER = """
[store]
to = "{store}"
[run.docker]
network = "none"
env = ["BREAK"]
[image.env]
PYTHONHASHSEED = "7"
METAFLOW_SERVICE_URL = "http://127.0.0.1:1"
"""
OWN = """
import os, sys
import yaml  # the team's
from metaflow import FlowSpec, Parameter, step

class Own(FlowSpec):
    alpha = Parameter("alpha", default=1.0)
    broken = Parameter("broken", default="")

    @step
    def start(self):
        assert yaml.WHOSE == "team", yaml
        if self.broken and not os.path.exists(self.broken):
            raise RuntimeError("it is broken")
        self.next(self.end)

    @step
    def end(self):
        self.scores = {"alpha": self.alpha, "beside": os.path.exists("config.yaml"), "last": sys.path[-1] == "/opt/builder"}
        self.scores = {name: float(value) for name, value in self.scores.items()}

if __name__ == "__main__":
    Own()
"""
OTHER = 4321
"""The number of a user who has no name anywhere."""


@pytest.fixture
def team(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    docker_host: str,
    docker_registry: str,
    ngc_base: str,
    engine: Any,
) -> Iterator[Steered]:
    """Its images are in a registry."""
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    monkeypatch.setenv("BUILDER_SECRET", "of this shell")
    engine.images.pull(ngc_base)
    store = f"{docker_registry}/test-{uuid.uuid4().hex[:8]}"
    settings = SETTINGS.replace('base = "scratch"', f'base = "{ngc_base}"\npython = "3.11"') + DOCKER.format(store=store)
    yaml = {"yaml.py": "WHOSE = 'team'\n", "train.py": f"import yaml\nassert yaml.WHOSE == 'team', yaml\n{TRAIN}"}
    yield steered(tmp_path, monkeypatch, capsys, {"builder.toml": settings, **yaml})
    for image in engine.images.list(name=store):
        engine.images.remove(image.id, force=True)


@pytest.fixture
def engine(docker_host: str) -> Iterator[Any]:
    from docker import DockerClient

    client = DockerClient(base_url=docker_host, version="auto")
    yield client
    client.close()


def containers(engine: Any, run: str) -> list[Any]:
    return list(engine.containers.list(all=True, filters={"label": f"builder/run={run}"}))


def test_it_does_what_a_run_on_this_machine_does(team: Steered, engine: Any) -> None:
    inside, here = team.run("--on", "docker"), team.run("--on", "local", "--again")
    for key in ("state", "scores", "checkpoint", "identity", "config", "loss", "reference"):
        assert inside[key] == here[key], key
    assert inside["state"] == "succeeded"
    assert "@sha256:" in inside["reference"]
    assert containers(engine, inside["run"]) == []
    log = (team.state / "runs" / inside["run"] / "flow.log").read_text()
    assert "Task finished successfully" in log
    assert "Done!" in log


def test_one_container_of_that_very_image_named_after_the_run(team: Steered, engine: Any) -> None:
    run = team.started("--on", "docker")
    (container,) = containers(engine, run)
    assert container.name == run
    reference = team.ledger.read(run)["run"]["reference"]
    assert reference in container.image.attrs["RepoDigests"]
    assert team.ledger.read(run)["run"]["container"] == container.id
    team.go(run)
    assert team.ended(run)["state"] == "succeeded"
    assert containers(engine, run) == []


def test_the_tools_process_and_the_teams_are_kept_apart(team: Steered) -> None:
    seen = team.seen(team.run("--on", "docker")["run"])
    assert (seen["cwd"], seen["environ"]["PYTHONPATH"]) == ("/code", "/code")
    assert not any("/opt/builder" in entry for entry in seen["path"])
    assert seen["environ"]["PYTHONHASHSEED"] == "7", "what the image says of Python is for the team's commands"
    assert "BUILDER_SECRET" not in seen["environ"]
    assert not any(name.startswith("AWS_") for name in seen["environ"]), "the data root is a directory"


def test_files_are_the_persons(team: Steered, monkeypatch: pytest.MonkeyPatch) -> None:
    """This test may be root's: the container is made for somebody else, and writes into directories of root's all the same."""
    monkeypatch.setattr(os, "getuid", lambda: OTHER)
    monkeypatch.setattr(os, "getgid", lambda: OTHER)
    result = team.run("--on", "docker")
    assert team.seen(result["run"])["user"] == OTHER
    directory = team.state / "runs" / result["run"]
    written = [path for path in directory.rglob("*") if path.is_file() and path.name != "flow.log"]
    assert len(written) > 10
    assert {path.stat().st_uid for path in written} == {OTHER}
    records = team.state / "data/ledger" / result["run"]
    assert {path.name: path.stat().st_uid for path in records.iterdir()}["end.json"] == OTHER


def test_a_step_that_fails_says_so_as_elsewhere(team: Steered, monkeypatch: pytest.MonkeyPatch, engine: Any) -> None:
    monkeypatch.setenv("BREAK", "type")
    said = team.builder("run", "finetune@HEAD", "--on", "docker", code=1)
    assert "step evaluate-type failed" in said.err
    assert "  type is broken" in said.err
    assert containers(engine, next(team.state.glob("runs/*")).name) == []


def test_an_image_of_the_engine_is_named_by_the_same_digest(team: Steered, monkeypatch: pytest.MonkeyPatch, engine: Any) -> None:
    pushed = team.run("--on", "docker")
    monkeypatch.setenv("BUILDER_STORE_TO", "docker:")
    loaded = team.run("--on", "docker", "--again")
    digest = pushed["reference"].rpartition("@")[2]
    assert loaded["reference"] == f"docker:@{digest}"
    assert (loaded["identity"], loaded["scores"]) == (pushed["identity"], pushed["scores"])
    for image in engine.images.list(name="builder"):
        engine.images.remove(image.id, force=True)


def test_what_docker_cannot_run_is_said_before_anything_starts(team: Steered, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = team.repository.directory / "builder.toml"
    text = settings.read_text()
    monkeypatch.setenv("BUILDER_STORE_TO", "oci:.builder/images")
    said = team.builder("run", "finetune", "--on", "docker", code=2)
    assert "is a directory, and Docker cannot run an image from there" in said.err
    monkeypatch.delenv("BUILDER_STORE_TO")
    lines = ['base = "scratch"' if line.startswith("base = ") else line for line in text.splitlines() if not line.startswith("python = ")]
    settings.write_text("\n".join(lines))
    said = team.builder("run", "finetune", "--on", "docker", code=2)
    assert "has no Python that is known, so no flow can run in it" in said.err
    assert not (team.state / "data").exists()


def test_an_image_that_is_gone_and_an_engine_that_is_elsewhere(team: Steered, monkeypatch: pytest.MonkeyPatch) -> None:
    team.run("--on", "docker")
    monkeypatch.setenv("DOCKER_HOST", "tcp://docker.test:2375")
    said = team.builder("run", "finetune@HEAD", "--on", "docker", "--again", code=1)
    assert "the Docker engine of DOCKER_HOST is on docker.test" in said.err
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    said = team.builder("run", "finetune@HEAD", "--on", "docker", "--again", code=1)
    assert "cannot talk to the Docker engine" in said.err


def test_an_image_without_what_the_run_needs_is_named(team: Steered, engine: Any, ngc_base: str, tmp_path: Path) -> None:
    container = engine.containers.create(ngc_base)
    try:
        arguments = {"image": container.image.id, "name": f"test-{uuid.uuid4().hex[:8]}", "entrypoint": ["setpriv-is-not-here"]}
        with pytest.raises(LaunchError) as caught, docker.engine() as client:
            docker.Container(client, arguments, tmp_path / "log")
        assert "setpriv-is-not-here" in caught.value.message
        assert engine.containers.list(all=True, filters={"name": arguments["name"]}) == []
    finally:
        container.remove(force=True)


def test_a_run_that_is_ended_leaves_no_container(team: Steered, engine: Any) -> None:
    argv = [sys.executable, "-m", "builder", "run", "finetune@HEAD", "hold=true", "--on", "docker"]
    child = subprocess.Popen(argv, env={**os.environ, "PYTHONSAFEPATH": "1"}, stderr=subprocess.PIPE, text=True)
    until(lambda: list(team.state.glob("runs/*/finetune/output/seen.json")) or child.poll() is not None)
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    run = next(team.state.glob("runs/*")).name
    assert containers(engine, run) == []
    assert team.ledger.read(run)["run"]["state"] == "stopped"


@pytest.fixture(name="own")
def a_team_with_a_flow_of_its_own(team: Steered) -> Steered:
    """Without what Metaflow is, and imports: those would be the ones that it gets."""
    root = team.repository.directory
    (root / "flows").mkdir()
    (root / "flows/own.py").write_text(OWN)
    settings = (root / "builder.toml").read_text()
    (root / "builder.toml").write_text(settings + '\n[flow.own]\nfile = "flows/own.py"\n')
    team.repository.text("rm", "-r", "--quiet", "metaflow", "requests", "urllib3")
    team.repository.text("add", "--all")
    team.repository.text("commit", "--quiet", "--message", "Add a flow")
    return team


def test_a_flow_of_the_teams_own_runs_on_its_path_with_the_tool_behind(own: Steered, tmp_path: Path) -> None:
    result = json.loads(own.builder("run", "own@HEAD", "alpha=2", "--on", "docker", "-o", "json").out)
    assert (result["state"], result["scores"]) == ("succeeded", {"alpha": 2.0, "beside": 1.0, "last": 1.0})
    assert {step: record["state"] for step, record in own.ledger.read(result["run"]).items()} == dict.fromkeys(
        ("run", "start", "end"), "succeeded"
    )
    said = own.builder("run", "own@HEAD", "broken=/nowhere", "--on", "docker", code=1).err
    assert "step start failed; its last lines:" in said
    assert "RuntimeError: it is broken" in said


def test_a_container_that_nobody_looks_after_is_seen_until_it_is_gone(team: Steered, engine: Any) -> None:
    run = team.started("--on", "docker")
    record = team.ledger.read(run)["run"]
    os.kill(record["supervisor"], signal.SIGKILL)
    until(lambda: not is_alive(record))
    (seen,) = json.loads(team.builder("status", "-o", "json").out)
    assert (seen["state"], seen["detail"]) == ("running", "in a container that nobody looks after any more: `builder stop` ends it")
    engine.containers.get(record["container"]).remove(force=True)
    (seen,) = json.loads(team.builder("status", "-o", "json").out)
    assert (seen["state"], seen["detail"]) == ("lost", "")


def test_a_container_starts_another_run(team: Steered, engine: Any) -> None:
    """A container cannot start one: what looks after it does, on the same target and on another."""
    lines = ['{"start": "finetune", "set": {"lr": 0.5}}', '{"start": "finetune", "on": "local"}']
    asking = "import os\nif 'BUILDER_PARENT' not in os.environ:\n    open(os.environ['BUILDER_OUTBOX'], 'w').write('''\n"
    repository = team.repository.directory
    (repository / "train.py").write_text(f"{asking}{chr(10).join(lines)}''')\n{TRAIN}")
    team.repository.text("add", "--all")
    team.repository.text("commit", "--quiet", "--message", "Ask")
    parent = team.run("--on", "docker")
    inside, here = team.ledger.read(parent["run"])["finetune"]["children"]
    records = {run: team.ended(run) for run in (inside, here)}
    assert {run: record["on"] for run, record in records.items()} == {inside: "docker", here: "local"}
    for record in records.values():
        assert (record["state"], record["origin"]["parent"], record["scores"]) == ("succeeded", parent["run"], parent["scores"])
    assert containers(engine, inside) == []
