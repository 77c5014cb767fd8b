"""Commits from before a slimming on a real Argo: each pod gets back what its commit lost, from the archive in S3."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import pytest

from repo_slim.slim import Asked, run
from tests.fixtures.slimmed_team import OWN, WEIGHTS
from tests.fixtures.team import Team

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

NEEDS = """
import hashlib, pathlib, runpy, sys
weights = pathlib.Path("data/weights.bin").read_bytes()
print("weights", hashlib.sha256(weights).hexdigest(), pathlib.Path("bin/tool").stat().st_mode & 0o111 != 0)
module = sys.argv.pop(1)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@pytest.fixture(name="slimmed")
def a_slimmed_team(team: Team, tmp_path: Path) -> tuple[Team, str]:
    """In a colleague's clone of what slim-repo published; and the old name of the commit that lost something."""
    settings = (team.repository / "builder.toml").read_text()
    assert '"-m", "agent.' in settings
    team.write({"needs.py": NEEDS, "own.py": OWN, "builder.toml": settings.replace('"-m", "agent.', '"needs.py", "agent.')})
    team.settings('\n[flow.own]\nfile = "own.py"\n')
    for name in ("data", "bin"):
        (team.repository / name).mkdir(exist_ok=True)
    (team.repository / "data/weights.bin").write_bytes(WEIGHTS)
    (team.repository / "bin/tool").write_bytes(WEIGHTS)
    (team.repository / "bin/tool").chmod(0o755)
    old = team.commit("Need big files")
    team.git("rm", "--quiet", "data/weights.bin", "bin/tool")
    team.commit("Need them no more")
    asked = Asked(str(team.repository), tmp_path / "work", team.root, team.endpoint, rules={"drop": ("data/weights.bin", "bin/tool")})
    published = tmp_path / "published.git"
    approve = run(asked)["approve"]
    team.git("init", "--quiet", "--bare", str(published))
    run(dataclasses.replace(asked, rules=None, approve=approve, publish_to=str(published)))
    team.git("clone", "--quiet", published.as_uri(), str(tmp_path / "clone"))
    return dataclasses.replace(team, repository=tmp_path / "clone"), old


def test_an_old_commit(slimmed: tuple[Team, str]) -> None:
    team, old = slimmed
    done = team.run("run", f"finetune@{old[:7]}", "evals=click", "--on", "argo", "--detach", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert f"{old[:7]} is now " in done.stderr and "2 files, 6.0 kB, that slim-repo took out of " in done.stderr
    finetune = json.loads(done.stdout)["run"]
    own = team.json("run", f"own@{old[:7]}", "--on", "argo", "--detach")["run"]
    assert {team.wait(finetune), team.wait(own)} == {"Succeeded"}

    expected = {"was": old, "files": 2, "size": 2 * len(WEIGHTS)}
    for name in (finetune, own):
        report = json.loads(team.objects.get(f"runs/{name}/report.json") or b"")
        assert {key: report["restored"][key] for key in expected} == expected
    assert report["scores"] == {"first": WEIGHTS[0] / 256, "executable": 1.0}
    records = team.ledger.read(finetune)
    for step in ("finetune", "evaluate-click"):
        assert records[step]["restored"]["files"] == 2
        log = (team.objects.get(f"runs/{finetune}/{step}/log") or b"").decode()
        assert f"weights {hashlib.sha256(WEIGHTS).hexdigest()} True" in log
    template = json.dumps(team.get("workflowtemplate", records["run"]["template"]))
    assert "weights.bin" not in template and len(os.fsencode(template)) < 200_000
    assert "restored 2 files, 6.0 kB" in team.ok("show", finetune)
    assert team.ok("verify", old[:7])

    team.objects.delete([f"archive/blobs/{(digest := hashlib.sha256(WEIGHTS).hexdigest())[:2]}/{digest}"])
    failed = team.json("run", f"own@{old[:7]}", "--on", "argo", "--detach", "--again")["run"]
    assert team.wait(failed) == "Failed"
    assert "cannot be restored: there is no s3://" in team.ok("show", failed)
