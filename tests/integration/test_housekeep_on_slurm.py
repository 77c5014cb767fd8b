"""What housekeep removes on a real Slurm's side over SSH, while a job is in the queue."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from builder.cli.frame import run as builder
from tests.fixtures.records import root, write_run
from tests.fixtures.servers import SlurmServer

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]

OLD = time.time() - 90 * 86400


def old(path: Path) -> Path:
    path.mkdir(parents=True)
    os.utime(path, (OLD, OLD))
    return path


def keep(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    code = builder(["run", "housekeep", *words, "-o", "json"])
    said = capsys.readouterr()
    assert code == 0, said.err
    return {thing["name"]: thing for thing in json.loads(said.out)["things"]}


def test_what_nothing_needs_goes_and_a_job_in_the_queue_keeps_its_own(
    slurm: SlurmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith(("BUILDER_STORE", "BUILDER_DATA", "BUILDER_RUN"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    settings = slurm.settings(tmp_path / "shared dir")
    names = ("bastion", "user", "identity_file", "known_hosts", "root")
    lines = [f"{name} = {json.dumps(getattr(settings, name))}" for name in names]
    (tmp_path / "builder.toml").write_text("\n".join(["[launch.default.slurm]", *lines, ""]))
    shared = Path(settings.root)
    runs = {name: old(shared / "runs" / name) for name in ("over-1", "queued-1", "open-1")}
    trees = {name: old(shared / "code" / (name[0] * 64)) for name in ("unused", "fresh")}
    os.utime(trees["fresh"])
    write_run(root(tmp_path), "open-1", "running")
    job = slurm.say("sbatch", "--parsable", "--job-name=queued-1.finetune-a1", "--begin=now+1hour", f"--chdir={shared}", "--wrap", "true")
    try:
        planned = keep(capsys, "--dry-run")
        assert all(path.is_dir() for path in (*runs.values(), *trees.values()))
        assert {name for name, thing in planned.items() if thing["became"] == "would go"} == {"over-1", "u" * 64}
        done = keep(capsys)
        assert {name for name, thing in done.items() if thing["became"] == "removed"} == {"over-1", "u" * 64}
        assert done["queued-1"]["why"] == "a job of queued-1 is in the queue"
        assert done["open-1"]["why"] == "the ledger has no end of open-1"
        assert sorted(path.name for path in (shared / "runs").iterdir()) == ["open-1", "queued-1"]
        assert [path.name for path in (shared / "code").iterdir()] == ["f" * 64]
        again = keep(capsys)
        assert {thing["became"] for thing in again.values()} == {"kept"}
    finally:
        slurm.say("scancel", job)
    assert keep(capsys)["queued-1"]["became"] == "removed"
