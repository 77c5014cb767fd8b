"""A run on a real Argo whose pod is killed, whose log is followed, that is gone on with; and one that is stopped."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.fixtures.proxy import kubeconfig_through_proxy
from tests.fixtures.team import SECRET, Team
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

STEERED = {
    "train.sh": 'for line in $(seq 20); do echo "line $line of $HOSTNAME"; sleep 1; done\nexec python -m agent.train --config "$1"\n',
    "score.sh": 'case ,$BREAK, in *,$1,*) echo "$1 is broken"; exit 3 ;; esac\n'
    'exec python -m agent.evaluate --action "$1" --config "$2" --checkpoint "$3"\n',
}
FLOW = """
[flow.finetune]
use = "finetune"
config = "configs/finetune.yaml"
command = ["sh", "train.sh", "{config}"]
[flow.finetune.evals]
click = ["sh", "score.sh", "{action}", "{config}", "{checkpoint}"]
type = ["sh", "score.sh", "{action}", "{config}", "{checkpoint}"]
[flow.finetune.errors.finetune]
retry = 1
on = ["killed", "lost"]
backoff = "1s"
"""


@pytest.fixture
def steered(team: Team) -> Team:
    settings = (team.repository / "builder.toml").read_text()
    team.commit("Be steered", {**STEERED, "builder.toml": settings[: settings.index("[flow.finetune]")] + FLOW})
    return team


def broken(team: Team, actions: str) -> None:
    """Which evaluations fail in pods that are made from now on: a variable of the secret that every step gets."""
    change = json.dumps({"stringData": {"BREAK": actions}})
    team.cluster.output("--namespace", team.namespace, "patch", "secret", SECRET, "--type=merge", f"--patch={change}")


def running(team: Team, run: str, step: str, attempt: int = 0) -> bool:
    record = team.ledger.read(run).get(step, {})
    return record.get("state") == "running" and record.get("attempt") == attempt


def test_killed_followed_and_gone_on_with(steered: Team, tmp_path: Path) -> None:
    here = steered.json("run", "finetune@HEAD", "--on", "local")
    broken(steered, "type")
    run = steered.ok("run", "finetune@HEAD", "--on", "argo", "--detach", "--again").strip()
    with kubeconfig_through_proxy(Path(steered.environ["KUBECONFIG"]), tmp_path) as (kubeconfig, proxy):
        following = steered.start("logs", run, "-f", KUBECONFIG=str(kubeconfig))
        until(lambda: running(steered, run, "finetune"))
        pod = steered.ledger.read(run)["finetune"]["host"]
        until(lambda: "line 2 of" in steered.ok("logs", run, "finetune"))
        steered.kill(run, pod)
        until(lambda: running(steered, run, "finetune", 1))
        until(lambda: "line 2 of" in steered.ok("logs", run, "finetune"))
        assert proxy.cut() > 0
        assert steered.wait(run) == "Failed"
        shown, said = following.communicate(timeout=60)
    assert following.returncode == 0, said
    assert f"{run} failed" in said

    records = steered.ledger.read(run)
    again = records["finetune"]["host"]
    assert again != pod
    assert (records["finetune"]["state"], records["finetune"]["tries"]) == ("succeeded", 2)
    assert [failure["end"] for failure in records["finetune"]["failures"]] == ["lost"]
    lines = shown.splitlines()
    assert lines[0] == "==> finetune <=="
    assert f"line 1 of {pod}" in lines, "of the pod that was killed"
    assert [line for line in lines if line.endswith(again)] == [f"line {number} of {again}" for number in range(1, 21)], "each line once"
    assert "type is broken" in lines
    chatter = ("Task is starting", "save_logs", "argo=true", "[builder]")
    assert [line for line in lines if any(word in line for word in chatter)] == []
    kept_log = steered.ok("logs", run, "finetune")
    assert kept_log in shown
    assert "Task is starting" in steered.ok("logs", run, "start", "--all")

    broken(steered, "")
    ended = steered.run("retry", run, "--wait", "-o", "json")
    assert ended.returncode == 0, ended.stderr
    assert f"kept from {run}: start, finetune, freeze, evaluate-click; to do: evaluate-type, end" in ended.stderr
    retried = json.loads(ended.stdout)
    for key in ("scores", "loss", "checkpoint", "config"):
        assert retried[key] == here[key], key
    after = steered.ledger.read(retried["run"])
    assert (after["finetune"]["kept"], after["run"]["template"]) == (run, records["run"]["template"])
    assert after["freeze"]["checkpoint"] == records["freeze"]["checkpoint"]
    assert steered.ok("logs", retried["run"], "finetune") == kept_log


def test_a_run_is_stopped_and_it_is_known_by_whom(steered: Team) -> None:
    """One that trains, whoever waits for it, and one that waits for its end."""
    steered.settings("\n[queue.finetune]\nat_once = 1\n")
    waiting = steered.start("run", "finetune@HEAD", "--on", "argo", "--wait")
    until(lambda: steered.json("status"))
    first = steered.json("status")[0]["run"]
    until(lambda: running(steered, first, "finetune"))
    waiting.send_signal(signal.SIGINT)
    assert f"{first} goes on; builder logs {first} -f follows it again" in waiting.communicate(timeout=60)[1]
    assert waiting.returncode == 130
    assert running(steered, first, "finetune")
    second = steered.ok("run", "finetune@HEAD", "--on", "argo", "--detach", "--again").strip()
    until(lambda: "Waiting for" in steered.workflow(second).get("status", {}).get("message", ""))
    for run in (second, first):
        assert f"{run} is being stopped" in steered.run("stop", run, LOGNAME="ada").stderr
    assert {steered.wait(run) for run in (first, second)} == {"Failed"}
    until(lambda: {run["state"] for run in steered.json("status")} == {"stopped"})
    record = steered.ledger.read(first)["exit"]
    assert (record["state"], record["stopped_by"], record["at"]) == ("stopped", "ada", "finetune")
    again = steered.run("stop", first)
    assert (again.returncode, again.stderr.strip()) == (0, f"{first} has ended already: stopped")
