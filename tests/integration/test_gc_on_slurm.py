"""What `builder gc checkouts` removes on a real Slurm's side over SSH, while a job is in the queue, and when the bastion is away."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from builder.cli.frame import run as builder
from tests.fixtures.repositories import Repository
from tests.fixtures.servers import SlurmServer

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]


def old(path: Path) -> Path:
    path.mkdir(parents=True)
    os.utime(path, (time.time() - 90 * 86400,) * 2)
    return path


def write_settings(path: Path, settings: Any, **other: str) -> None:
    names = ("bastion", "user", "identity_file", "known_hosts", "root")
    lines = [f"{name} = {json.dumps(other.get(name, getattr(settings, name)))}" for name in names]
    (path / "builder.toml").write_text("\n".join(["[launch.default.slurm]", *lines, ""]))


def test_a_job_in_the_queue_keeps_its_own_and_a_bastion_that_is_away_everything(
    slurm: SlurmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith(("BUILDER_STORE", "BUILDER_DATA", "BUILDER_RUN"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(Repository.make(tmp_path).directory)
    settings = slurm.settings(tmp_path / "shared dir")
    write_settings(Path.cwd(), settings)
    shared = Path(settings.root)
    for name in ("over-1", "queued-1"):
        old(shared / "runs" / name)
    old(shared / "code" / ("u" * 64))
    here = old(Path.cwd() / ".builder/runs/over-1")

    def gc(*words: str, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert builder(["gc", "checkouts", "-o", "json", *words]) == code
        said = capsys.readouterr()
        return {thing["place"] + "/" + thing["name"]: thing for thing in json.loads(said.out)["things"]} if code == 0 else {"": said.err}

    script = shared / "runs/queued-1/script"
    script.write_text("#!/bin/sh\ntrue\n")
    for path in (script, script.parent):
        os.utime(path, (time.time() - 90 * 86400,) * 2)
    job = slurm.say("sbatch", "--parsable", "--job-name=queued-1.finetune-a1", "--hold", f"--chdir={script.parent}", str(script))
    try:
        write_settings(Path.cwd(), settings, bastion="127.0.0.1:1")
        assert "127.0.0.1" in str(gc("--yes", code=1)[""])
        assert here.is_dir(), "nothing goes, wherever it lies"
        write_settings(Path.cwd(), settings)
        done = gc("--yes")
        assert sorted(Path(name).name for name, thing in done.items() if thing["became"] == "removed") == ["over-1", "over-1", "u" * 64]
        assert [thing["why"] for thing in done.values() if thing["became"] == "kept"] == ["a job of queued-1 is in the queue"]
        assert [path.name for path in (shared / "runs").iterdir()] == ["queued-1"]
        assert list((shared / "code").iterdir()) == []
        assert not here.exists()
    finally:
        slurm.say("scancel", job)
    assert [thing["became"] for thing in gc("--yes").values()] == ["removed"]
