"""watch and housekeep as CronWorkflows of a real Argo, and by hand against it: most workflows of these tests never have a pod."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from builder.cluster.kubernetes import connect
from builder.data.ledger import EXIT, RUN
from builder.deploy.names import MANAGED
from builder.errors import AuthError
from builder.housekeep.housekeep import housekeep
from builder.runs.sources import Sources
from builder.settings import load
from builder.steps.stopping import ask_to_stop
from tests.fixtures.servers import SlurmServer
from tests.fixtures.slack import CHANNEL, TOKEN, Slack, slack_on
from tests.fixtures.team import SECRET, Team, kubeconfig
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.slurm, pytest.mark.timeout(1200), pytest.mark.xdist_group("slurm")]

API = "argoproj.io/v1alpha1"
NOON = "2024-05-01T12:00:00Z"
SETTINGS = """
[notify]
slack = true
secret = "slack"
channel = "{channel}"
api = "{api}"

[watch]
gone = "1s"

[housekeep]
templates = "0s"

[launch.finetune.slurm]
bastion = "{bastion}"
user = "root"
identity_env = "SLURM_KEY"
host_key = "{host_key}"
root = "{root}"

[schedule.nightly]
flow = "finetune"
cron = "0 2 * * *"

[schedule.watch]
cron = "0 3 * * *"

[schedule.housekeep]
cron = "0 4 * * *"
"""


@pytest.fixture
def slack(bridge_address: str) -> Iterator[Slack]:
    with slack_on(bridge_address) as slack:
        yield slack


@pytest.fixture
def watching(team: Team, slack: Slack, slurm: SlurmServer, bridge_address: str, tmp_path: Path) -> Team:
    """Pods reach Slack, and the bastion of Slurm, on the bridge, with keys from secrets; by hand they are in the environment."""
    secret = {"metadata": {"name": "slack", "namespace": team.namespace}, "stringData": {"SLACK_BOT_TOKEN": TOKEN}}
    apply(team, {"apiVersion": "v1", "kind": "Secret", **secret})
    words = {"channel": CHANNEL, "api": slack.api, "root": tmp_path / "cluster"}
    words |= {"host_key": " ".join((slurm.ssh / "host.pub").read_text().split()[:2])}
    file = team.repository / "builder.toml"
    file.write_text(file.read_text().replace("\n\n[data]", "\ninsecure = true\n\n[data]"))  # for pods, which read manifests for the page
    team.settings(SETTINGS.format(**words, bastion=f"{bridge_address}:{slurm.bastion.rpartition(':')[2]}"))
    key = (slurm.ssh / "user").read_text()
    change = json.dumps({"stringData": {"SLURM_KEY": key}})
    team.cluster.output("--namespace", team.namespace, "patch", "secret", SECRET, "--type=merge", f"--patch={change}")
    team.environ |= {"SLACK_BOT_TOKEN": TOKEN, "SLURM_KEY": key}
    return team


@pytest.fixture
def submit(slurm: SlurmServer, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Submits the job of a run, and gives its number."""
    numbers: list[str] = []

    def submitted(run: str) -> str:
        directory = tmp_path / "cluster" / "runs" / run / "finetune-a1"
        directory.mkdir(parents=True)
        numbers.append(slurm.say("sbatch", "--parsable", f"--job-name={run}.finetune-a1", f"--chdir={directory}", "--wrap", "sleep 900"))
        return numbers[-1]

    yield submitted
    for number in numbers:
        slurm.say("scancel", number)


def apply(team: Team, manifest: dict[str, Any]) -> None:
    team.cluster.output("--namespace", team.namespace, "apply", "--filename=-", stdin=json.dumps(manifest))


def workflow(team: Team, name: str, *, commit: str = "", fails: bool = False, **labels: str) -> None:
    """Without a pod: one that waits for somebody, or fails as Argo cannot fill it in."""
    step = {"name": "x", "suspend": {}}
    if fails:
        step = {"name": "x", "inputs": {"parameters": [{"name": "missing"}]}, "suspend": {}}
    marks = {"name": name, "labels": {"builder/flow": "finetune", "builder/commit": commit, **labels}}
    apply(team, {"apiVersion": API, "kind": "Workflow", "metadata": marks, "spec": {"entrypoint": "x", "templates": [step]}})


def phase(team: Team, name: str) -> str:
    return str(team.workflow(name).get("status", {}).get("phase", ""))


def look(team: Team) -> dict[tuple[str, str], str]:
    """(news, subject) to kind."""
    found = team.json("run", "watch")["findings"]
    return {(one["news"], one["subject"]): one["kind"] for one in found}


def test_both_run_as_the_schedules_say_and_by_hand(
    watching: Team, slack: Slack, slurm: SlurmServer, tmp_path: Path, submit: Callable[[str], str]
) -> None:
    team = watching
    head = team.commit("Watch")
    undeployed = look(team)
    assert undeployed == {("new", f"schedule {name}"): "missing" for name in ("nightly", "watch", "housekeep")}
    deployed = team.json("deploy")
    names = {one["name"] for one in deployed["objects"] if one["kind"] == "schedule"}
    assert names == {"nightly", "watch", "housekeep"}
    assert look(team) == {("over", f"schedule {name}"): "missing" for name in names}
    assert team.json("deploy")["objects"] == [{**one, "done": "found"} for one in deployed["objects"]], "again nothing"

    # what there is to find: a run that failed, and one that is gone; neither has an end in the ledger
    workflow(team, "run-failed", commit=head, fails=True)
    workflow(team, "run-goes", commit=head)
    until(lambda: phase(team, "run-failed") in ("Failed", "Error") and phase(team, "run-goes") == "Running")
    known = {"flow": "finetune", "commit": head, "on": "argo", "namespace": team.namespace, "started": "2024-05-01T08:00:00Z"}
    ask_to_stop(team.objects, "run-stopped", "ada")
    workflow(team, "run-stopped", commit=head)
    job = submit("run-stopped")
    for run in ("run-failed", "run-lost", "run-stopped"):
        team.ledger.write(run, RUN, {**known, "state": "submitted"})
    templates = [one["name"] for one in deployed["objects"] if one["kind"] == "template"]
    workflow(team, "run-waits", commit="b" * 40)

    # the schedule's own pod sees it, tells it, and writes the ends
    before = len(slack.messages)
    start(team, "watch", "watch-now")
    assert team.wait("watch-now") == "Succeeded", pods(team, "watch-now")
    (text,) = slack.texts[before:]
    assert "`run-failed` failed" in text
    assert "`run-failed` its end is written" in text
    assert "`run-lost` its end is written, which nobody did: lost" in text
    assert "`run-stopped` its jobs on" in text
    assert "are cancelled: ada asked for its end" in text
    until(lambda: job not in slurm.say("squeue", "-h", "-o", "%i").split())
    assert "`run-goes`" not in text
    ends = {run: team.ledger.read(run)[EXIT]["state"] for run in ("run-failed", "run-lost")}
    assert ends == {"run-failed": "failed", "run-lost": "lost"}
    assert team.ledger.read("watch-now") == {}, "looks leave no records"
    seen = look(team)
    assert not [one for one in seen if one[0] == "new"], "what the pod told is not told again by hand"
    assert len(slack.texts) == before + 1

    # housekeep, by its own account
    ended(team, "run-old", days=90)
    ended(team, "run-young", days=0)
    files = tmp_path / "cluster" / "runs" / "run-old"
    files.mkdir()
    os.utime(files, (0, 0))
    start(team, "housekeep", "housekeep-now")
    assert team.wait("housekeep-now") == "Succeeded", pods(team, "housekeep-now")
    assert "workflow run-old removed" in pods(team, "housekeep-now")
    assert sorted(path.name for path in files.parent.iterdir()) == ["run-stopped"]
    left = {one["metadata"]["name"] for one in team.get("workflows")["items"]}
    assert {"run-young", "run-goes", "run-waits"} <= left
    assert "run-old" not in left
    assert len(team.get("workflowtemplates")["items"]) == len(templates), "all of them are new"

    # and at its end the page, of what a pod can ask
    page = (team.objects.get("page/index.html") or b"").decode()
    told = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    images = {commit["sha"]: commit.get("image", {}).get("digest") for commit in told["commits"]}
    assert images[head] == team.json("image")[0]["digest"], told["notes"]
    assert {run["run"] for run in told["runs"]} >= {"run-failed", "run-lost", "run-stopped"}
    assert {nights["schedule"] for nights in told["nights"]} == names
    assert [note for note in told["notes"] if "git_secret" in note], told["notes"]


def test_a_schedule_that_does_not_start_and_starts_again(team: Team) -> None:
    """Every minute, while the run before still goes on, as it waits for somebody: Argo starts no other one."""
    team.settings('[watch]\nlate = "1s"\nusers = []\n')
    labels = {**MANAGED, "builder/schedule": "often"}
    template = {"entrypoint": "x", "templates": [{"name": "x", "suspend": {}}]}
    spec = {"schedules": ["* * * * *"], "timezone": "UTC", "concurrencyPolicy": "Forbid", "workflowSpec": template}
    spec["workflowMetadata"] = {"labels": {"builder/schedule": "often"}}
    apply(team, {"apiVersion": API, "kind": "CronWorkflow", "metadata": {"name": "often", "labels": labels}, "spec": spec})
    team.environ["BUILDER_RUN_ON"] = "argo"
    kinds: dict[tuple[str, str], str] = until(lambda: {key: kind for key, kind in look(team).items() if key[0] == "new"}, every=5)
    assert kinds == {("new", "schedule often"): "missing"}
    (known,) = team.json("run", "watch")["findings"]
    assert known["news"] == "known"
    (going,) = [one["metadata"]["name"] for one in team.get("workflows")["items"]]
    assert f"{going} still goes on" in known["text"]
    change = {"spec": {"shutdown": "Terminate"}}
    team.cluster.output("--namespace", team.namespace, "patch", "workflow", going, "--type=merge", f"--patch={json.dumps(change)}")
    assert until(lambda: {key for key in look(team) if key[0] == "over"}, every=5) == {("over", "schedule often")}


def test_templates_that_nothing_needs(watching: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the account of the flow. A server says itself when a thing was made: here the hour in which nothing goes is no time."""
    team = watching
    for letter in "abc":
        labels = {"builder/flow": "finetune", "builder/commit": letter * 40}
        apply(
            team, {"apiVersion": API, "kind": "WorkflowTemplate", "metadata": {"name": f"finetune-{letter}", "labels": labels}, "spec": {}}
        )
    apply(team, {"apiVersion": API, "kind": "WorkflowTemplate", "metadata": {"name": "somebody-elses"}, "spec": {}})
    workflow(team, "run-waits", commit="b" * 40)
    until(lambda: phase(team, "run-waits") == "Running")
    team.ledger.write("run-open", RUN, {"flow": "finetune", "commit": "c" * 40, "on": "argo", "state": "submitted", "started": NOON})
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(team, tmp_path / "keeper", "builder-keep")))
    monkeypatch.setattr("builder.housekeep.plan.LEAST", 0.0)
    settings = load(team.repository, {})
    kept = housekeep(Sources(settings, team.objects, team.ledger, lambda: connect(team.namespace)))
    assert {one.verdict.thing.name: one.became for one in kept.done} == {
        "finetune-a": "removed",
        "finetune-b": "kept",
        "finetune-c": "kept",
    }
    assert {one["metadata"]["name"] for one in team.get("workflowtemplates")["items"]} == {"finetune-b", "finetune-c", "somebody-elses"}
    with pytest.raises(AuthError):
        connect(team.namespace).delete("cronworkflows", "nightly")


def start(team: Team, schedule: str, name: str) -> None:
    """As Argo does at the schedule's time."""
    cron = team.get("cronworkflow", schedule)
    marks = {"name": name, **cron["spec"]["workflowMetadata"]}
    apply(team, {"apiVersion": API, "kind": "Workflow", "metadata": marks, "spec": cron["spec"]["workflowSpec"]})


def pods(team: Team, run: str) -> str:
    """What they said, for whoever reads why a test failed."""
    return "\n".join(
        team.cluster.output("--namespace", team.namespace, "logs", pod["metadata"]["name"], "--container=main") for pod in team.pods(run)
    )


def ended(team: Team, name: str, days: float) -> None:
    """A workflow as it is so many days after its end. Argo leaves what is marked as completed alone."""
    then = (datetime.now(timezone.utc) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    marks = {"name": name, "labels": {"builder/flow": "finetune", "workflows.argoproj.io/completed": "true"}}
    status = {"phase": "Succeeded", "startedAt": then, "finishedAt": then}
    spec = {"entrypoint": "x", "templates": [{"name": "x", "suspend": {}}]}
    apply(team, {"apiVersion": API, "kind": "Workflow", "metadata": marks, "spec": spec, "status": status})
