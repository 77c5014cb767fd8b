"""The flow `train` on a real Argo: its gang is a JobSet that Kueue lets begin, and what it made is fine-tuned at the same commit."""

from __future__ import annotations

import json

import pytest

from tests.fixtures.gangs import QUEUE, GangQueue
from tests.fixtures.ranks import MEET
from tests.fixtures.team import Team, digest_of
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.kueue, pytest.mark.timeout(1200)]

FLOWS = """
[flow.train]
command = ["sh", "-c", "python meet.py && echo 0.75 >{{checkpoint}}/weights && sleep 20"]

[flow.finetune]
command = ["sh", "-c", "cp $BUILDER_INITIAL/* $BUILDER_CHECKPOINT"]
[flow.finetune.evals]
click = ["python", "score.py", "{{checkpoint}}"]

[launch.train]
on = "jobset"
[launch.train.jobset]
queue = "{queue}"
nodes = 2
[launch.train.pod]
cpu = "0.1"
memory = "256Mi"
gpus = 2
gpu_resource = "{gpu}"

[schedule.train]
cron = "0 22 * * *"
suspend = true
"""
METRICS = 'print(json.dumps({"step": 1, "name": "loss", "value": 0.25}), file=open(os.environ["BUILDER_METRICS"], "w"))\n'
SCORE = """
import json, os, pathlib, sys
score = float(pathlib.Path(sys.argv[1], "weights").read_text())
pathlib.Path(os.environ["BUILDER_METRICS"]).write_text(json.dumps({"step": 1, "name": "score", "value": score}))
"""


def test_a_gang_trains_and_its_checkpoint_is_fine_tuned_at_the_same_commit(team: Team, gang_queue: GangQueue) -> None:
    """And the pod that waits for the gang is killed: there is one gang all the same."""
    text = (team.repository / "builder.toml").read_text()
    text = text[: text.index("[flow.finetune]")] + FLOWS.format(queue=QUEUE, gpu=gang_queue.resource)
    commit = team.commit("Train as a gang", {"builder.toml": text, "meet.py": MEET + METRICS, "score.py": SCORE})
    team.ok("deploy", "--bootstrap", KUBECONFIG=str(team.cluster.kubeconfig))
    run = team.ok("run", "train@HEAD", "--on", "argo", "--detach").strip()
    (gang,) = until(lambda: team.get("jobsets")["items"])
    name = gang["metadata"]["name"]
    assert name == f"{run}-train-a1"
    until(lambda: "1: rank 1 of 2 has met the others" in team.ok("logs", run, "train"))
    pods = team.get("pods", "--selector", f"jobset.sigs.k8s.io/jobset-name={name}")["items"]
    digest = team.json("image")[0]["reference"].rpartition("@")[2]
    assert {digest_of(pod["status"]["containerStatuses"][0]) for pod in pods} == {digest}
    waiting = team.ledger.read(run)["train"]["host"]
    team.cluster.output("--namespace", team.namespace, "delete", "pod", waiting, "--grace-period=1", "--wait=false")

    assert team.wait(run) == "Succeeded", team.ok("show", run)
    assert [found["metadata"]["uid"] for found in team.get("jobsets")["items"]] == [gang["metadata"]["uid"]]
    records = team.ledger.read(run)
    assert records["train"]["host"] != waiting
    shown = team.json("show", run)
    assert (shown["state"], shown["loss"]) == ("succeeded", 0.25)
    log = team.ok("logs", run, "train").splitlines()
    assert sorted(line for line in log if "has met" in line) == [f"{rank}: rank {rank} of 2 has met the others" for rank in range(2)]

    (child,) = records["handover"]["children"]
    assert team.wait(child) == "Succeeded", team.ok("show", child)
    tuned = team.json("show", child)
    assert (tuned["commit"], tuned["scores"]) == (commit, {"click": 0.75}), "the weights of the gang's rank 0"
    assert team.ledger.read(child)["run"]["origin"]["parent"] == run

    team.ok("deploy", "train")
    nightly = team.get("cronworkflow", "train")
    assert (nightly["spec"]["schedules"], nightly["spec"]["suspend"]) == (["0 22 * * *"], True)
    assert json.dumps(nightly["spec"]["workflowSpec"]).count(f"train-{commit[:12]}-") == 1


def test_a_run_that_is_stopped_leaves_no_gang(team: Team, gang_queue: GangQueue) -> None:
    text = (team.repository / "builder.toml").read_text()
    text = text[: text.index("[flow.finetune]")] + FLOWS.format(queue=QUEUE, gpu=gang_queue.resource).replace("sleep 20", "sleep 600")
    team.commit("Train for long", {"builder.toml": text, "meet.py": MEET, "score.py": SCORE})
    team.ok("deploy", "--bootstrap", KUBECONFIG=str(team.cluster.kubeconfig))
    run = team.ok("run", "train@HEAD", "--on", "argo", "--detach").strip()
    until(lambda: team.get("jobsets")["items"])
    team.ok("stop", run)
    assert team.wait(run) == "Failed"
    until(lambda: not team.get("jobsets")["items"])
    assert team.json("show", run)["state"] == "stopped"
