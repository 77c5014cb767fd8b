"""Jobs that run in an image, by digest, with the commit's files mounted; and that move checkpoints between Slurm and S3 themselves."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from builder.cli.frame import run as builder
from builder.data.checkpoints import check, freeze, materialise
from builder.data.ledger import Ledger
from builder.data.open import open_root
from builder.demo.history import make_repository
from builder.launch import Carried, Finished, Job, finish
from builder.launch.slurm.attempt import Environment
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.launcher import Slurm
from tests.fixtures.servers import S3Server, SlurmServer
from tests.fixtures.waiting import until
from tests.fixtures.wheels import make_wheel

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]

PROBE = """
import json, os, sys
import greeting, torch
import agent.train
told = {"python": sys.executable, "greeting": greeting.__file__, "torch": torch.__file__, "agent": agent.train.__file__, "cwd": os.getcwd()}
told |= {"root": sorted(os.listdir("/")), "home": os.environ.get("AWS_SHARED_CREDENTIALS_FILE", ""), "odd": os.environ["BUILDER_RUN"]}
told |= {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "seed": os.environ.get("PYTHONHASHSEED"), "words": sys.argv[2:]}
print("probe " + json.dumps(told), flush=True)
os.execvp("python", ["python", "-m", "agent.train", "--config", sys.argv[1]])
"""
TRAIN = '["python", "-m", "agent.train", "--config", "{config}"]'
WORDS = ("$(touch /tmp/never); rm -rf x", "two\nlines", "'\"`\\", "é ☃", "")
S3 = """
[data]
root = "{root}"
endpoint = "{endpoint}"
"""
IMAGE = """
[image]
base = "{base}"
python = "3.11"
[image.deps]
lock = "requirements.lock"
[image.env]
PYTHONHASHSEED = "7"
[store]
push = "{push}"
pull = "{pull}"
"""


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slurm: SlurmServer) -> Callable[..., Path]:
    """Makes the demo repository the working directory: its settings less [image], `more` in front, and what its jobs ask Slurm for."""
    for name in [name for name in os.environ if name.startswith(("METAFLOW_", "BUILDER_STORE", "BUILDER_DATA", "BUILDER_RUN", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(more: str, change: Callable[[str], str] = str, **asked: Any) -> Path:
        repository = tmp_path / "agent"
        make_repository(repository, os.environ["PATH"])
        flow = (repository / "builder.toml").read_text()
        flow = flow[flow.index("[flow.finetune]") :] if "[image]" in more else flow
        settings = slurm.settings(tmp_path / "cluster")
        words = {key: getattr(settings, key) for key in ("bastion", "user", "identity_file", "known_hosts", "root")} | asked
        lines = [f"{key} = {json.dumps(value)}" for key, value in words.items()]
        (repository / "builder.toml").write_text("\n".join([more, change(flow), "[launch.default.slurm]", *lines, ""]))
        monkeypatch.chdir(repository)
        return repository

    return make


@pytest.fixture
def root(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A data root of the test's own in S3. The cluster's credentials are in `tmp_path/credentials`, as AWS writes them."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    keys = f"aws_access_key_id = {s3_server.key}\naws_secret_access_key = {s3_server.secret}\n"
    (tmp_path / "credentials").write_text(f"[default]\n{keys}")
    place = f"s3://{s3_server.bucket}/slurm/{uuid.uuid4().hex}"
    yield place
    objects = open_root(place, Path("/"), s3_server.endpoint)
    objects.delete([found.key for found in objects.list()])


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    code = builder([*words, "-o", "json"])
    told = capsys.readouterr()
    assert code == 0, told.err
    return json.loads(told.out)


def log_of(capsys: pytest.CaptureFixture[str], run: str, step: str) -> str:
    capsys.readouterr()
    assert builder(["logs", run, step]) == 0
    return capsys.readouterr().out


@pytest.fixture
def carrying(root: str, s3_server: S3Server, slurm: SlurmServer, tmp_path: Path) -> Iterator[Callable[..., tuple[Slurm, Job]]]:
    """A launcher of one run, and a job that leaves a checkpoint, which it takes to the data root; with Python, and no container."""
    code, base, made = tmp_path / "code", tmp_path / "output", []
    code.mkdir()
    run, setup = f"run-{uuid.uuid4().hex[:8]}", (f"export PATH={Path(sys.executable).parent}:$PATH",)
    settings = slurm.settings(tmp_path / "cluster", setup=setup, s3_credentials=str(tmp_path / "credentials"))

    def job(attempt: int, brings: dict[Path, str], command: str = "") -> tuple[Slurm, Job]:
        made.append(Slurm(Bastion(settings), run))
        carried = Carried(root, s3_server.endpoint, "us-east-1", brings, base / "checkpoint", "", base / "step/carried.json")
        known: dict[str, Any] = {"workdir": code, "log": base / "step/log", "base": base, "attempt": attempt, "carried": carried}
        command = command or f"echo $RANDOM >>{tmp_path}/ran; echo weights >$OUT/weights; ls $IN"
        variables = {"OUT": str(base / "checkpoint"), "IN": str(base / "initial")}
        (base / "checkpoint").mkdir(parents=True, exist_ok=True)
        outputs = (base / "step/metrics.jsonl",)
        return made[-1], Job("step", ("bash", "-c", f"mkdir -p $OUT; {command}"), variables=variables, outputs=outputs, **known)

    yield job
    for each in made:
        each.bastion.close()


def test_a_job_moves_checkpoints_itself(carrying: Any, root: str, s3_server: S3Server, tmp_path: Path) -> None:
    """When it cannot take what the command left, the next attempt does that alone; and whoever comes again finds the receipt."""
    objects = open_root(root, Path("/"), s3_server.endpoint)
    (tmp_path / "first").mkdir()
    (tmp_path / "first/start").write_text("from here\n")
    first = freeze(objects, tmp_path / "first").digest
    credentials, base = tmp_path / "credentials", tmp_path / "output"
    right = credentials.read_text()
    command = f"cp {credentials}.wrong {credentials}; echo $RANDOM >>{tmp_path}/ran; echo weights >$OUT/weights; ls $IN"
    (tmp_path / "credentials.wrong").write_text(right.replace(s3_server.secret, "wrong"))
    launcher, asked = carrying(1, {base / "initial": first}, command)
    failed = finish(launcher, asked)
    assert (failed.code, failed.end) == (1, "stage")
    assert failed.said == "ended well, but what it left could not be taken to the data root"
    log = asked.log.read_text()
    assert f"brought checkpoint {first}" in log
    assert "\nstart\n" in log
    assert "builder: error: " in log
    credentials.write_text(right)
    launcher, asked = carrying(2, {base / "initial": first})
    assert finish(launcher, asked) == Finished(0)
    digest = json.loads((base / "step/carried.json").read_text())["digest"]
    assert f"took checkpoint {digest}" in asked.log.read_text()
    materialise(objects, digest, tmp_path / "back")
    assert (tmp_path / "back/weights").read_text() == "weights\n"
    assert len((tmp_path / "ran").read_text().split()) == 1, "it trained once"
    assert not list((base / "checkpoint").iterdir()), "nothing large came back"
    (base / "step/carried.json").unlink()
    launcher, asked = carrying(2, {base / "initial": first})
    assert finish(launcher, asked) == Finished(0), "it has ended long ago"
    assert json.loads((base / "step/carried.json").read_text())["digest"] == digest


def test_a_checkpoint_that_is_not_there_begins_no_command(carrying: Any, tmp_path: Path) -> None:
    launcher, asked = carrying(1, {tmp_path / "output/initial": f"sha256:{'0' * 64}"})
    failed = finish(launcher, asked)
    assert (failed.end, failed.said) == ("stage", "never began: its checkpoint could not be brought from the data root")
    assert f"there is no checkpoint sha256:{'0' * 64}" in asked.log.read_text()
    assert not (tmp_path / "ran").exists()


@pytest.mark.charliecloud
@pytest.mark.registry
@pytest.mark.base
def test_in_charliecloud(
    team: Any,
    root: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    s3_server: S3Server,
    docker_registry: str,
    charliecloud: tuple[str, Path],
    ngc_base: str,
) -> None:
    """Interpreter and packages are the image's, by digest; code is what is mounted; nothing large passes through this machine."""
    lock = make_wheel(tmp_path / "wheels", "greeting", "1.0", {"greeting.py": "hello = 1\n"})
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    host, certificate = charliecloud
    name = f"slurm/{uuid.uuid4().hex}"
    image = IMAGE.format(base=ngc_base, push=f"{docker_registry}/{name}", pull=f"{host}/{name}")
    repository = team(
        image + S3.format(root=root, endpoint=s3_server.endpoint),
        lambda flow: flow.replace(TRAIN, json.dumps(["python", "probe.py", "{config}", *WORDS]), 1),
        container="charliecloud",
        setup=["export PATH=/usr/bin:/bin", f"export REQUESTS_CA_BUNDLE={certificate}"],
        s3_credentials=str(tmp_path / "credentials"),
        gpus_per_node=2,
    )
    (repository / "probe.py").write_text(PROBE)
    (repository / "requirements.lock").write_text(lock)
    ended = said(capsys, "run", "finetune", "lr=0.3", "evals=click", "--place", "finetune=slurm", "--place", "evaluate=slurm")
    text = log_of(capsys, ended["run"], "finetune")
    (probe,) = [json.loads(line.removeprefix("probe ")) for line in text.splitlines() if line.startswith("probe ")]
    assert probe["python"].startswith(("/usr/bin/", "/usr/local/bin/"))
    assert probe["torch"].startswith("/usr/local/lib/python3.11/")
    assert probe["greeting"].startswith("/opt/")
    assert (probe["agent"], probe["cwd"]) == ("/code/agent/train.py", "/code")
    assert {"builder-job", "code"} <= set(probe["root"])
    assert not {"work", "shared"} & set(probe["root"])
    assert (probe["home"], probe["odd"], probe["seed"]) == ("", ended["run"], "7")
    assert len(probe["gpus"].split(",")) == 2
    assert probe["words"] == list(WORDS)
    assert not Path("/tmp/never").exists()
    records = Ledger(open_root(root, repository, s3_server.endpoint)).read(ended["run"])
    digest = records["finetune"]["environment"].rpartition(":")[2]
    assert records["finetune"]["environment"].startswith(f"{host}/{name}@sha256:")
    assert [path.name for path in (tmp_path / "cluster/charliecloud").iterdir() if path.is_dir()] == [digest]
    assert check(open_root(root, repository, s3_server.endpoint), ended["checkpoint"]).files
    assert f"took checkpoint {ended['checkpoint']}" in text
    assert f"brought checkpoint {ended['checkpoint']}" in log_of(capsys, ended["run"], "evaluate-click")
    output = repository / ".builder/runs" / ended["run"]
    assert not list((output / "checkpoint").iterdir())
    assert not (output / "evaluate-click/checkpoint").exists()
    assert ended["scores"]["click"] is not None


@pytest.mark.charliecloud
@pytest.mark.registry
@pytest.mark.base
def test_many_nodes_and_jobs_at_once_share_one_image(
    slurm: SlurmServer, tmp_path: Path, charliecloud: tuple[str, Path], ngc_base: str
) -> None:
    """Each rank knows which it is, and what rank 0 alone may write is none of the others' business."""
    host, certificate = charliecloud
    setup = ("export PATH=/usr/bin:/bin", f"export REQUESTS_CA_BUNDLE={certificate}")
    settings = slurm.settings(tmp_path / "cluster", container="charliecloud", setup=setup)
    environment = Environment(f"{host}/{ngc_base.partition('/')[2]}", "/workspace/code")
    code, run = tmp_path / "code", f"run-{uuid.uuid4().hex[:8]}"
    code.mkdir()

    def job(name: str, nodes: int) -> tuple[Slurm, Job]:
        base = tmp_path / name
        script = 'echo "rank $RANK of $WORLD_SIZE at $MASTER_ADDR in $PWD"; echo "{}" >>$BUILDER_METRICS; sleep 1'
        variables = {"BUILDER_METRICS": str(base / "metrics")}
        known = {"workdir": code, "base": base, "log": base / "log", "outputs": (base / "metrics",), "variables": variables}
        launcher = Slurm(Bastion(replace(settings, nodes=nodes)), run, environment)
        return launcher, Job(name, ("bash", "-c", script), **known)  # type: ignore[arg-type]

    asked = [job("gang", 2), job("alone", 1)]
    handles = [launcher.submit(each) for launcher, each in asked]
    ended = [until(partial(launcher.poll, handle, 5.0)) for (launcher, _), handle in zip(asked, handles, strict=True)]
    for launcher, _ in asked:
        launcher.bastion.close()
    told = [each.log.read_text() for _, each in asked]
    assert ended == [Finished(0), Finished(0)], told
    for rank in (0, 1):
        assert f"{rank}: rank {rank} of 2 at " in told[0]
    assert "rank  of  at  in /workspace/code" in told[1]
    assert [each.outputs[0].read_text() for _, each in asked] == ["{}\n", "{}\n"], "of rank 0 alone"
    kept = [path.name for path in (tmp_path / "cluster/charliecloud").iterdir()]
    assert sorted(kept) == [environment.image.rpartition(":")[2], f"{environment.image.rpartition(':')[2]}.lock"]
