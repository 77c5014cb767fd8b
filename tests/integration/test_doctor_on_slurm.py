"""`builder doctor --step` against a real Slurm: each thing broken in turn is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.cli import frame
from tests.fixtures.servers import SlurmServer

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]


@pytest.fixture
def checked(slurm: SlurmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """What the doctor finds with these settings, by the check's name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(f"data: {tmp_path}\nname: x\n")

    def found(config: str = "", **changes: Any) -> dict[str, dict[str, str]]:
        settings = slurm.settings(tmp_path / "cluster")
        words = {key: getattr(settings, key) for key in ("bastion", "user", "identity_file", "known_hosts", "root")} | changes
        lines = [f"{key} = {json.dumps(value)}" for key, value in words.items()]
        flow = '[image]\nbase = "scratch"\n[flow.finetune]\ncommand = ["true"]\nconfig = "c.yaml"\n'
        (tmp_path / "builder.toml").write_text("\n".join([flow, config, "[launch.finetune.slurm]", *lines, ""]))
        capsys.readouterr()
        code = frame.run(["doctor", "--step", "finetune", "--on", "slurm", "-o", "json"])
        checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
        assert code == int(any(check["state"] == "failed" for check in checks.values()))
        return checks

    return found


def failing(checks: dict[str, dict[str, str]]) -> set[str]:
    return {name for name, check in checks.items() if check["state"] == "failed"}


def test_all_is_well(checked: Any, tmp_path: Path) -> None:
    checks = checked(gpus_per_node=8, container="charliecloud")
    assert failing(checks) == set()
    assert "4 nodes with 8 GPUs" in checks["partition"]["detail"]
    assert checks["gpus"]["detail"] == "4 of 4 nodes have 8 or more"
    assert checks["job"]["detail"].startswith("it would start at ")
    assert checks["container"]["detail"].startswith("charliecloud 0.")
    assert "will be made" in checks["root"]["detail"]
    assert checks["paths"]["detail"] == "1 of the configuration is there"
    assert not (tmp_path / "cluster").exists(), "nothing is written anywhere"


def test_a_host_key_that_nobody_knows(checked: Any, slurm: SlurmServer, tmp_path: Path) -> None:
    (tmp_path / "known").touch()
    checks = checked(known_hosts=str(tmp_path / "known"))
    assert failing(checks) == {"host key"}
    line = checks["host key"]["remedy"].rpartition(f"add to {tmp_path}/known: ")[2]
    assert line in (slurm.ssh / "known_hosts").read_text().splitlines()
    assert "SHA256:" in checks["host key"]["detail"]
    (tmp_path / "known").write_text(f"{line}\n")
    assert failing(checked(known_hosts=str(tmp_path / "known"))) == set(), "the very line to add"


def test_what_is_broken_is_named(checked: Any, tmp_path: Path) -> None:
    assert failing(checked(bastion="127.0.0.1:9")) == {"host key"}
    assert failing(checked(partition="none")) == {"partition", "job"}
    assert failing(checked(gpus_per_node=9)) == {"partition", "gpus", "job"}
    assert failing(checked(container="apptainer")) == {"container"}
    (tmp_path / "file").touch()
    assert failing(checked(root=str(tmp_path / "file"))) == {"root"}
    (tmp_path / "c.yaml").write_text("data: /nowhere/at/all\n")
    checks = checked()
    assert failing(checks) == {"paths"}
    assert "finetune: data = /nowhere/at/all" in checks["paths"]["detail"]
