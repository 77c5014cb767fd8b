"""`builder status --slurm`, over jobs made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.cli import frame, slurm_list
from builder.cli.documents import DOCUMENTS
from builder.errors import LaunchError
from builder.launch.slurm.survey import Listed
from builder.settings import SlurmSettings
from tests.fixtures.records import root, write_run

NOW = 1_700_000_000.0
JOBS = {
    "login": [
        Listed("9", "odd\nname", "RUNNING", NOW - 50, NOW - 40, 2, "bob", nodes="n2", count=1),
        Listed("7", "one.finetune-a2", "PENDING", NOW - 7200, NOW + 3600, 16, "team", "Priority", "", "", "one", "finetune", 2, count=2),
        Listed("8", "gone.freeze-a1", "RUNNING", NOW - 90, NOW - 60, 0, "team", "", "n1", "", "gone", "freeze", 1, count=1),
    ]
}


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("BUILDER_DATA_ROOT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    steps = {"finetune": ("login", "/a"), "evaluate": ("login", "/b"), "freeze": ("other", "/a")}
    lines = [f'[launch.{step}.slurm]\nbastion = "{bastion}"\nroot = "{where}"' for step, (bastion, where) in steps.items()]
    (tmp_path / "builder.toml").write_text('[image]\nbase = "scratch"\n' + "\n".join(lines))
    monkeypatch.chdir(tmp_path)
    write_run(root(tmp_path), "one", "running")

    def listed(host: str, roots: list[SlurmSettings]) -> list[tuple[str, float, Listed]]:
        if host not in JOBS:
            raise LaunchError(f"ssh to {host}: refused")
        assert [slurm.root for slurm in roots] == ["/a", "/b"], "each bastion once"
        return [(host, NOW, job) for job in JOBS[host]]

    monkeypatch.setattr(slurm_list, "_listed", listed)
    return tmp_path


def test_everybodys_jobs_with_their_runs(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["status", "--slurm", "-o", "table"]) == 0
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines()[1:]]
    assert rows[0][:7] == ["8", "team", "gone", "freeze", "1", "RUNNING", "n1"]
    assert "no run" in out.splitlines()[1]
    words = ["7", "team", "one", "finetune", "2", "PENDING", "2", "16", "2", "h", "running", "ada", "Priority,"]
    assert rows[1] == [*words, "starts", "in", "1", "h"]
    assert "odd?name" in out.splitlines()[3]
    assert "none of ours" in out.splitlines()[3]
    assert "jobs there are not shown: ssh to other: refused" in err


def test_one_persons_and_as_names(team: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.cli.person.who", lambda: "ada")
    assert frame.run(["status", "--slurm", "--mine", "-o", "name"]) == 0
    assert capsys.readouterr().out == "one.finetune-a2\n"
    assert frame.run(["status", "--slurm", "-o", "json"]) == 0
    (first, second, third) = json.loads(capsys.readouterr().out)
    assert set(first) == {"schema", *DOCUMENTS["builder status --slurm"].keys}
    assert (first["known"], first["run"], first["run_state"]) == (False, "gone", "")
    assert (second["known"], second["starts"], second["run_state"]) == (True, "2023-11-14T23:13:20Z", "running")
    assert (third["known"], third["run"], third["attempt"]) == (False, "", 0)


def test_where_no_cluster_answers_or_is_named(team: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(JOBS, "login", [])
    assert frame.run(["status", "--slurm", "-o", "table"]) == 0
    assert "no job waits or runs there" in capsys.readouterr().err
    monkeypatch.delitem(JOBS, "login")
    assert frame.run(["status", "--slurm"]) != 0
    assert "ssh to login: refused" in capsys.readouterr().err
    assert frame.run(["status", "--slurm", "--watch"]) == 2
    (team / "builder.toml").write_text('[image]\nbase = "scratch"\n')
    assert frame.run(["status", "--slurm"]) == 2
    assert "has a bastion and a root" in capsys.readouterr().err
