"""The hybrid way: the flow is Argo's, its training a job of Slurm, its evaluations pods."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.fixtures.servers import S3Server, SlurmServer
from tests.fixtures.team import SECRET, Team
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.slurm, pytest.mark.timeout(900), pytest.mark.xdist_group("slurm")]

TRAIN = 'for line in $(seq 12); do echo "line $line"; sleep 1; done\nexec python -m agent.train --config "$1"\n'
SETTINGS = """
[launch.finetune]
on = "slurm"
[launch.finetune.slurm]
bastion = "{bastion}"
user = "root"
identity_env = "SLURM_KEY"
host_key = "{host_key}"
root = "{root}"
setup = ["export PATH={python}:$PATH"]
s3_credentials = "{credentials}"
"""


@pytest.fixture
def hybrid(team: Team, slurm: SlurmServer, bridge_address: str, tmp_path: Path, s3_server: S3Server) -> Team:
    """Pods reach the bastion on the bridge, and have its key from the secret of their environment; the cluster has a key to S3."""
    host_key = " ".join((slurm.ssh / "host.pub").read_text().split()[:2])
    bastion = f"{bridge_address}:{slurm.bastion.rpartition(':')[2]}"
    keys = f"aws_access_key_id = {s3_server.key}\naws_secret_access_key = {s3_server.secret}\n"
    (tmp_path / "credentials").write_text(f"[default]\n{keys}")
    words: dict[str, object] = {"credentials": tmp_path / "credentials"}
    words |= {"bastion": bastion, "host_key": host_key, "root": tmp_path / "cluster", "python": Path(sys.executable).parent}
    text = (team.repository / "builder.toml").read_text()
    text = text.replace('command = ["python", "-m", "agent.train", "--config", "{config}"]', 'command = ["sh", "train.sh", "{config}"]')
    assert "train.sh" in text
    team.commit("Train on Slurm", {"train.sh": TRAIN, "builder.toml": text + SETTINGS.format(**words)})
    key = json.dumps({"stringData": {"SLURM_KEY": (slurm.ssh / "user").read_text()}})
    team.cluster.output("--namespace", team.namespace, "patch", "secret", SECRET, "--type=merge", f"--patch={key}")
    return team


def jobs_of(slurm: SlurmServer, run: str, *states: str) -> list[str]:
    words = ("-t", ",".join(states)) if states else ("-t", "all")
    return [line for line in slurm.say("squeue", "-h", *words, "-o", "%j").splitlines() if line.startswith(f"{run}.")]


def test_training_on_slurm_and_evaluations_in_pods(hybrid: Team, slurm: SlurmServer) -> None:
    """And the pod that waits is killed: there is one job all the same, and the same result as on this machine."""
    here = hybrid.json("run", "finetune@HEAD", "--on", "local", "--place", "finetune=here")
    run = hybrid.ok("run", "finetune@HEAD", "--on", "argo", "--detach", "--again").strip()
    until(lambda: jobs_of(slurm, run, "RUNNING"))
    pod = hybrid.ledger.read(run)["finetune"]["host"]
    until(lambda: "line 2" in hybrid.ok("logs", run, "finetune"))
    hybrid.kill(run, pod)
    assert hybrid.wait(run) == "Succeeded", hybrid.ok("show", run)
    assert jobs_of(slurm, run) in ([], [f"{run}.finetune-a1"])  # Slurm forgets what has ended
    assert slurm.say("sacct", "-n", "-P", "-X", "-S", "now-1days", f"--name={run}.finetune-a1", "-o", "State") == "COMPLETED"
    assert slurm.say("sacct", "-n", "-P", "-X", "-S", "now-1days", f"--name={run}.finetune-a2", "-o", "State") == ""
    there = hybrid.json("show", run)
    for key in ("scores", "loss", "checkpoint"):
        assert there[key] == here[key], key
    record = hybrid.ledger.read(run)["finetune"]
    assert record["host"] != pod
    log = hybrid.ok("logs", run, "finetune").splitlines()
    assert [line for line in log if line.startswith("line ")] == [f"line {number}" for number in range(1, 13)], "each once"
    assert any(f"took checkpoint {there['checkpoint']}" in line for line in log), "the job itself, and no pod"
    assert record["environment"] == "not pinned"
    assert "finetune: environment not pinned" in hybrid.ok("show", run)


def test_a_run_that_is_stopped_leaves_no_job(hybrid: Team, slurm: SlurmServer) -> None:
    run = hybrid.ok("run", "finetune@HEAD", "--on", "argo", "--detach").strip()
    until(lambda: jobs_of(slurm, run, "RUNNING"))
    assert f"{run} is being stopped" in hybrid.run("stop", run).stderr
    assert hybrid.wait(run) == "Failed"
    until(lambda: not jobs_of(slurm, run, "RUNNING", "PENDING"), 30)
    assert hybrid.json("show", run)["state"] == "stopped"


def test_from_a_container(hybrid: Team, slurm: SlurmServer, docker_host: str) -> None:
    hybrid.settings('\n[run.docker]\nnetwork = "host"\n')
    key = (slurm.ssh / "user").read_text()
    ended = hybrid.json("run", "finetune@HEAD", "--on", "docker", DOCKER_HOST=docker_host, SLURM_KEY=key)
    assert ended["state"] == "succeeded"
    assert slurm.say("sacct", "-n", "-P", "-X", "-S", "now-1days", f"--name={ended['run']}.finetune-a1", "-o", "State") == "COMPLETED"
    assert "line 12" in hybrid.ok("logs", ended["run"], "finetune")
