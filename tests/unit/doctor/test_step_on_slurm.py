"""`builder doctor --step`, of what a real Slurm of the tests does not have: other containers, quotas, nodes of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.cli import frame
from builder.doctor.pod import InPod, pulls
from builder.doctor.scene import Found, Scene
from builder.doctor.slurm import OnSlurm
from builder.doctor.step import launching, paths_of
from builder.errors import LaunchError
from builder.launch.slurm.bastion import Said
from builder.settings import DeploySettings, LaunchSettings, PodSettings, Settings, SlurmSettings, load
from tests.fixtures.memory_cluster import MemoryCluster


def no_store(_: str) -> Any:
    raise AssertionError("no store is needed")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path, {}, Settings(root=tmp_path), no_store)


class Answers:
    """A bastion that answers by words of the command."""

    def __init__(self, answers: Mapping[str, Said]) -> None:
        self.answers = answers

    def ask(self, command: str, stdin: bytes = b"") -> Said:
        return next((said for words, said in self.answers.items() if words in command), Said(0, b"", b""))


def found(check: str, said: Said | None = None, words: str = "", paths: Mapping[str, str] | None = None, **more: Any) -> Found:
    settings = SlurmSettings(bastion="login", root="/shared/team", **more)
    there = OnSlurm("finetune", LaunchSettings("slurm", slurm=settings), lambda: paths or {})
    there.close()
    there._bastion = Answers({words: said} if said else {})  # type: ignore[assignment]
    there.is_reached = True
    return getattr(there, check)(None)  # type: ignore[no-any-return]


def out(text: str, code: int = 0) -> Said:
    return Said(code, text.encode(), b"")


def test_containers() -> None:
    assert found("container").detail.endswith("and not pinned")
    assert found("container", out("3.4.1\n"), "enroot", container="pyxis").detail == "pyxis, enroot 3.4.1"
    old = found("container", out("2.1.0\n"), "enroot", container="pyxis")
    assert (old.state, old.detail) == ("failed", "enroot 2.1.0")
    gone = found("container", Said(127, b"", b"bash: line 1: apptainer: command not found"), "apptainer", container="apptainer")
    assert gone.detail == "apptainer is not there: bash: line 1: apptainer: command not found"
    assert "module" in gone.remedy
    loaded = found("container", out("1.3\n"), "module load x >&2\napptainer version", container="apptainer", setup=("module load x",))
    assert loaded.detail == "apptainer 1.3"


def test_room_and_quota() -> None:
    def root(there: str, free: int) -> Said:
        return out(f"{there}\nFilesystem 1-blocks Used Available Capacity Mounted on\nnfs:/x 9 9 {free} 9% /shared\n")

    assert found("root", root("/shared/team", 50_000_000_000), "df").detail == "/shared/team can be written, 50.0 GB free"
    assert found("root", root("/shared", 50_000_000_000), "df").detail == "/shared/team will be made, 50.0 GB free"
    assert found("root", root("/shared/team", 5_000_000_000), "df").state == "failed"
    assert found("root", out("/\n", 1), "df").detail == "/ cannot be written"
    assert found("quota").state == "-"
    assert found("quota", out("/dev/a 10 20 30\n/dev/b 99* 20 30 6days\n"), "quota").detail == "over the quota on /dev/b"
    assert found("quota", out("/dev/a 10 20 30\n"), "quota").state == "ok"


def test_paths_of_the_configuration(scene: Scene, tmp_path: Path) -> None:
    hostile = "/data/$(touch x)\n'\""
    lost = found("paths", out(f"{hostile}\0"), "test -e", {"finetune: a": hostile, "finetune: b": "/data"})
    assert (lost.state, lost.detail) == ("failed", f"not on the cluster: finetune: a = {hostile}")
    assert found("paths", out(""), "test -e", {"finetune: b": "/data"}).detail == "1 of the configuration is there"
    assert found("paths").state == "-"
    (tmp_path / "c.yaml").write_text("data: {train: /shared/train, of: relative}\nother: ${data.train}/x\nnumber: 3\n")
    text = '[image]\nbase = "scratch"\n[flow.finetune]\ncommand = ["true"]\nconfig = "c.yaml"\n[flow.own]\nfile = "own.py"\n'
    (tmp_path / "builder.toml").write_text(text)
    assert paths_of(replace(scene, settings=load(tmp_path, {}))) == {
        "finetune: data.train": "/shared/train",
        "finetune: other": "/shared/train/x",
    }


def test_where_there_is_no_connection_nothing_else_fails(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> Said:
        raise LaunchError("ssh to login: refused", "is the host up?")

    there = OnSlurm("finetune", LaunchSettings("slurm", slurm=SlurmSettings(bastion="login", root="/r")), dict)
    monkeypatch.setattr(there._bastion, "ask", refused)
    assert there.host_key(scene) == Found("failed", "ssh to login: refused", "is the host up?")
    assert there.slurm(scene).state == there.root(scene).state == "-"
    assert there.settings(scene).state == "ok"
    there.close()
    bare = OnSlurm("finetune", LaunchSettings(), dict)
    assert (bare.settings(scene).state, bare.host_key(scene).state) == ("failed", "-")
    bare.close()


@pytest.fixture
def there() -> Iterator[MemoryCluster]:
    made = MemoryCluster()
    for number, (gpus, labels, taints) in enumerate((("8", {"pool": "gpu"}, ["gpu"]), ("4", {"pool": "gpu"}, []), ("0", {}, []))):
        spec = {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]}
        allocatable = {"nvidia.com/gpu": gpus, "cpu": "64"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{number}", "labels": labels}, "spec": spec}
        made.create({**node, "status": {"allocatable": allocatable}})
    yield made


def test_nodes_of_a_cluster(scene: Scene, there: MemoryCluster) -> None:
    scene = replace(scene, open_cluster=lambda: there)

    def gpus(**more: Any) -> Found:
        return InPod("finetune", LaunchSettings(pod=PodSettings(**more))).gpus(scene)

    assert gpus().state == "-"
    assert gpus(gpus=4).detail == "1 of 3 nodes have 4 nvidia.com/gpu or more"
    assert gpus(gpus=4, tolerations=("gpu:NoSchedule",)).detail == "2 of 3 nodes have 4 nvidia.com/gpu or more"
    lacking = gpus(gpus=8, node_selector={"pool": "gpu"})
    assert (lacking.state, lacking.detail) == ("failed", "asked for 8 nvidia.com/gpu; available: at most 4 on one of 1 nodes")
    assert gpus(gpus=1, node_selector={"pool": "tpu"}).state == "failed"
    assert gpus(gpus=1, gpu_resource="amd.com/gpu").state == "failed"
    assert InPod("finetune", LaunchSettings()).nodes(scene).detail == "2 of 3 nodes may take it"
    there.denied.add(("list", "nodes"))
    assert gpus(gpus=1).state == "-"


def test_secrets_to_pull_with(scene: Scene, there: MemoryCluster) -> None:
    scene = replace(scene, open_cluster=lambda: there, settings=replace(scene.settings, deploy=DeploySettings(pull_secrets=("pull",))))
    assert pulls(scene).detail == "no secret pull"
    there.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"}})
    assert pulls(scene).state == "ok"
    there.denied.add(("get", "secrets"))
    assert "--deep" in pulls(scene).detail


def test_a_step_has_the_table_that_steps_are_told(scene: Scene) -> None:
    settings = replace(scene.settings, launch={"evaluate": LaunchSettings("slurm"), "default": LaunchSettings(timeout="1h")})
    assert launching(settings, "evaluate-click").on == "slurm"
    assert launching(settings, "finetune").timeout == "1h"


def test_what_is_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "builder.toml").write_text('[image]\nbase = "scratch"\n')
    assert frame.run(["doctor", "--step", "finetunes"]) == 2
    assert "there is no step finetunes" in capsys.readouterr().err
    assert frame.run(["doctor", "--on", "slurm"]) == 2
    assert "--step finetune" in capsys.readouterr().err
    assert frame.run(["doctor", "--step", "finetune", "--on", "slurm"]) == 1
    assert "[launch.finetune.slurm] has no bastion and no root" in capsys.readouterr().out
