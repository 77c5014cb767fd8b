"""`builder gc` on a real registry, cluster and Slurm: everybody who needs an image keeps it, and the one that nobody needs goes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from builder.cli import frame
from tests.fixtures.servers import SlurmServer
from tests.fixtures.team import Team

pytestmark = [pytest.mark.cluster, pytest.mark.slurm, pytest.mark.timeout(1200), pytest.mark.xdist_group("slurm")]

DAY = 86400
TINY = """
[flow.tiny]
use = "finetune"
command = ["python", "-c", "print(1)"]
checkpoint = "out"
evals = { click = ["python", "-c", "print('acc=0.5')"] }

[flow.tiny.scores]
click = { log = "acc=([0-9.]+)" }

[launch.finetune.slurm]
bastion = "%(bastion)s"
user = "root"
identity_file = "%(key)s"
known_hosts = "%(known)s"
root = "%(root)s"
"""


@pytest.fixture
def submit(slurm: SlurmServer, tmp_path: Path) -> Iterator[Callable[[str, str], str]]:
    """A job of a run that waits, and needs an image: as this tool leaves it on the cluster. It is held, so it never runs."""
    numbers: list[str] = []

    def submitted(run: str, reference: str) -> str:
        directory = tmp_path / "cluster" / "runs" / run / "finetune-a1"
        directory.mkdir(parents=True)
        (directory / "script").write_text(f"#!/bin/bash\nch-image pull {reference}\n")
        words = ["--parsable", "--hold", f"--job-name={run}.finetune-a1", f"--chdir={directory}", str(directory / "script")]
        numbers.append(slurm.say("sbatch", *words))
        return numbers[-1]

    yield submitted
    for number in numbers:
        slurm.say("scancel", number)


def apply(team: Team, manifest: dict[str, Any]) -> None:
    team.cluster.output("--namespace", team.namespace, "apply", "--filename=-", stdin=json.dumps(manifest))


def switched_off(reference: str) -> dict[str, Any]:
    """A machine of somebody's that has no pod at the moment."""
    labels = {"app": "box", "builder/devbox": "ada"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "box", "image": reference}]}}
    spec = {"replicas": 0, "serviceName": "box", "selector": {"matchLabels": labels}, "template": pod}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "box", "labels": labels}, "spec": spec}


def green(team: Team, sha: str, reference: str) -> None:
    """The record of a green run, as its last step writes it."""
    record = {"run": "tiny-green", "flow": "tiny", "commit": sha, "reference": reference, "ended": "2026-01-01T00:00:00Z", "schedule": ""}
    team.objects.put("green/tiny/2026-01-01T00:00:00Z-tiny-green", json.dumps(record).encode())


def seen_long_ago(team: Team) -> None:
    """The registry does not know how old anything is: nothing has needed for forty days what was found unneeded just now."""
    (found,) = [found for found in team.objects.list("gc/") if found.key.endswith("unneeded.json")]
    document = json.loads(team.objects.get(found.key) or b"")
    since = {digest: when - 40 * DAY for digest, when in document["since"].items()}
    team.objects.put(found.key, json.dumps({**document, "since": since}).encode())


def test_everybody_keeps_what_he_needs(team: Team, slurm: SlurmServer, submit: Callable[[str, str], str], tmp_path: Path) -> None:
    keys = {"key": slurm.ssh / "user", "known": slurm.ssh / "known_hosts", "root": tmp_path / "cluster"}
    team.settings(TINY % {"bastion": slurm.bastion, **keys})
    wanted = ("template", "nightly", "job", "green", "box", "branch", "nobody", "also nobody", "tip")
    commits = {name: team.commit(f"For the {name}", {"who.txt": f"{name}\n" * 50}) for name in wanted}
    images = {}
    for name, sha in commits.items():
        images[name] = team.ok("image", "--commit", sha).strip()
    team.git("init", "--quiet", "--bare", str(tmp_path / "remote"))
    team.git("remote", "add", "origin", str(tmp_path / "remote"))
    team.git("push", "--quiet", "origin", f"{commits['branch']}:refs/heads/theirs")
    team.ok("deploy", "tiny", "--commit", commits["template"])
    team.settings('\n[schedule.nightly]\nflow = "tiny"\ncron = "0 2 * * *"\n')
    team.ok("deploy", "tiny", "--commit", commits["nightly"])
    template = team.get("cronworkflow", "nightly")["spec"]["workflowSpec"]["workflowTemplateRef"]["name"]
    team.cluster.output("--namespace", team.namespace, "delete", "workflowtemplate", template)  # so that the schedule alone needs it
    number = submit("tiny-1234567-abcdef", images["job"])
    green(team, commits["green"], images["green"])
    apply(team, switched_off(images["box"]))

    first = team.run("gc", "images", "--yes")
    assert first.returncode == 0, first.stderr
    assert "does not say how old they are" in first.stderr
    assert "nothing to delete" in first.stderr
    seen_long_ago(team)

    refused = team.run("gc", "images", "--yes", KUBECONFIG="/dev/null")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "nothing is deleted" in refused.stderr

    done = team.json("gc", "images", "--yes")
    things = {thing["name"]: thing for thing in done["things"]}
    became = {name: things[image.rpartition("@")[2]] for name, image in images.items()}
    assert {name for name, thing in became.items() if thing["became"] == "removed"} == {"nobody", "also nobody"}
    whys = {name: thing["why"] for name, thing in became.items() if thing["became"] == "kept"}
    assert whys["template"].startswith(f"template tiny-{commits['template'][:12]}-")
    assert whys["nightly"] == "schedule nightly starts it"
    assert whys["job"] == f"job {number} of tiny-1234567-abcdef waits in Slurm"
    assert whys["green"] == "tiny-green is one of the last 3 green runs of tiny"
    assert whys["box"] == "stateful set box names it"
    assert whys["branch"] == "branch theirs of origin"
    assert whys["tip"] == "branch main here"
    assert done["freed"] > 0
    assert {one["became"] for one in done["things"] if one["kind"] in ("base", "tool", "handler", "environment")} == {"kept"}

    for name in whys:
        team.ok("verify", commits[name])
    assert team.run("verify", commits["nobody"]).returncode != 0
    again = team.run("gc", "images", "--yes")
    assert "nothing to delete" in again.stderr
    assert team.ok("image", "--commit", commits["nobody"]).strip() == images["nobody"], "made again, it is the same"


def test_templates_that_no_schedule_and_no_run_needs(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the real cluster, with the rights of the deployer's account, as if it were two months later."""
    team.settings(TINY.partition("[launch.finetune.slurm]")[0])
    unneeded, scheduled = (team.commit(f"The {name}", {"who.txt": name}) for name in ("unneeded", "scheduled"))
    team.ok("image", "--missing")
    team.ok("deploy", "tiny", "--commit", unneeded)
    team.settings('\n[schedule.nightly]\nflow = "tiny"\ncron = "0 2 1 1 *"\n')
    team.ok("deploy", "tiny", "--commit", scheduled)
    for name, value in team.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(team.repository)

    def gc(*words: str) -> dict[str, str]:
        capsys.readouterr()
        code = frame.run(["gc", "templates", "-o", "json", *words])
        said = capsys.readouterr()
        assert code == 0, said
        return {f"{thing['name'][:17]} {thing['why'].partition(',')[0]}": thing["became"] for thing in json.loads(said.out)["things"]}

    assert set(gc("--yes").values()) == {"kept"}, "they are young"
    monkeypatch.setattr("builder.housekeep.housekeep.time", SimpleNamespace(time=lambda: time.time() + 60 * DAY))
    gone, stays = f"tiny-{unneeded[:12]} not used for 60 d", f"tiny-{scheduled[:12]} schedule nightly starts it"
    assert gc("--dry-run") == {gone: "would go", stays: "kept"}
    assert gc("--yes") == {gone: "removed", stays: "kept"}
    names = [found["metadata"]["name"] for found in team.get("workflowtemplates")["items"]]
    assert [name[:17] for name in names] == [f"tiny-{scheduled[:12]}"]
    assert gc("--yes") == {stays: "kept"}
