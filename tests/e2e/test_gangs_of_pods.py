"""The launcher `jobset` against real controllers of JobSet and Kueue, with the rights of the account of people alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.errors import LaunchError
from builder.launch import Finished, Job, finish
from builder.launch.jobset.launcher import JobSets
from builder.settings import DataSettings, DeploySettings, FlowSettings, JobSetSettings, LaunchSettings, PodSettings
from builder.steps.gangs import cancel_gangs, gangs_of
from builder.steps.request import Place, Request
from tests.fixtures.gangs import QUEUE, GangQueue
from tests.fixtures.launchers import check_contract
from tests.fixtures.ranks import MEET
from tests.fixtures.team import SECRET, Team
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.kueue, pytest.mark.timeout(900)]

LAUNCH = f"""
[launch.finetune.jobset]
queue = "{QUEUE}"
"""


@pytest.fixture
def request_(team: Team, gang_queue: GangQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """A run whose step `train` is a gang of two pods with a GPU each, of the image of a commit whose files include the program."""
    team.settings(LAUNCH)
    team.ok("deploy", "--bootstrap", KUBECONFIG=str(team.cluster.kubeconfig))
    team.commit("Meet", {"meet.py": MEET})
    image = team.json("image")[0]
    monkeypatch.setenv("KUBECONFIG", team.environ["KUBECONFIG"])
    pod = PodSettings(cpu="0.1", memory="256Mi", gpus=1, gpu_resource=gang_queue.resource)
    launch = LaunchSettings(on="jobset", pod=pod, jobset=JobSetSettings(queue=QUEUE, nodes=2))
    return Request(
        run=f"train-{team.namespace}",
        flow="train",
        commit="0" * 40,
        reference=image["reference"],
        settings=FlowSettings(),
        place=Place(str(tmp_path / "code"), str(tmp_path / "run")),
        data=DataSettings(root=team.root, endpoint=team.endpoint),
        launch={"train": launch},
        deploy=DeploySettings(namespace=team.namespace, secrets=(SECRET,)),
    )


@pytest.fixture
def launch(request_: Request) -> Iterator[Callable[..., JobSets]]:
    """Launchers of the run, each as a process of its own would have it; `said` is what they say."""

    def launcher(said: list[str] | None = None, **changes: Any) -> JobSets:
        settings = request_.launch["train"]
        changed = replace(request_, launch={"train": replace(settings, jobset=replace(settings.jobset, **changes))})
        made = gangs_of(changed, "train", {})
        made.say = (said if said is not None else []).append
        return made

    yield launcher
    cancel_gangs(request_)


@pytest.fixture
def job(request_: Request) -> Callable[..., Job]:
    base = Path(request_.place.output)
    for name in ("checkpoint", "train"):
        (base / name).mkdir(parents=True)
    (base / "config.yaml").write_text("lr: 1\n")

    def made(*argv: str, attempt: int = 1, log: str = "log") -> Job:
        told = {"BUILDER_CHECKPOINT": str(base / "checkpoint"), "BUILDER_METRICS": str(base / "train/metrics.jsonl")}
        outputs = (base / "checkpoint", base / "train/metrics.jsonl")
        files: dict[str, Any] = {"base": base, "inputs": (base / "config.yaml",), "outputs": outputs}
        return Job("train", argv, Path(request_.place.workdir), base / "train" / log, variables=told, attempt=attempt, **files)

    return made


def test_a_gang_meets_is_found_again_and_ends_as_one(launch: Any, job: Any, request_: Request, gang_queue: GangQueue) -> None:
    script = 'cat "$1" && python meet.py && touch "$2"/met && sleep 4'
    base = request_.place.output
    asked = job("sh", "-c", script, "it", f"{base}/config.yaml", f"{base}/checkpoint")
    first = launch()
    name = first.submit(asked)
    until(lambda: first.poll(name, 1.0) is None and "has met" in asked.log.read_text())
    assert finish(launch(), asked) == Finished(0), "another process found it"
    told = json.loads((asked.outputs[0] / "ranks.json").read_text())
    assert [found["RANK"] for found in told] == ["0", "1"]
    assert {found["WORLD_SIZE"] for found in told} == {found["PET_NNODES"] for found in told} == {"2"}
    assert {found["PET_NPROC_PER_NODE"] for found in told} == {"1"}
    assert (asked.outputs[0] / "met").exists()
    assert asked.outputs[1].read_text() == "rank 0\n"
    lines = sorted(asked.log.read_text().splitlines())
    assert lines == ["0: lr: 1", "0: rank 0 of 2 has met the others", "1: lr: 1", "1: rank 1 of 2 has met the others"], "each once"
    assert len(gang_queue.cluster.read("--namespace", gang_queue.namespace, "jobsets")["items"]) == 1
    gang_queue.cluster.output("--namespace", gang_queue.namespace, "delete", "jobset", name)
    assert finish(launch(), asked) == Finished(0), "it has ended long ago"

    failing = job("sh", "-c", '[ "$RANK" = 0 ] && exec sleep 600; echo no; exit 9', attempt=2)
    assert finish(launch(), failing) == Finished(9)
    assert "1: no" in failing.log.read_text()

    endless = launch()
    name = endless.submit(job("sleep", "600", attempt=3))
    until(lambda: endless.poll(name, 1.0) is None and gang_queue.pods(name))
    cancel_gangs(request_)
    with pytest.raises(LaunchError, match="is gone") as caught:
        until(lambda: endless.poll(name, 5.0))
    assert caught.value.end == "lost"
    until(lambda: not gang_queue.pods(name))


def test_it_does_what_every_launcher_does(launch: Any, job: Any, request_: Request) -> None:
    base = request_.place.output
    places = {"{config}": f"{base}/config.yaml", "{checkpoint}": f"{base}/checkpoint"}

    def made(*argv: str, attempt: int = 1) -> Job:
        return job(*(places.get(word, word) for word in argv), attempt=attempt, log=f"log-{attempt}")  # type: ignore[no-any-return]

    check_contract(lambda: launch(nodes=1), made)


def test_from_this_machine(team: Team, request_: Request, gang_queue: GangQueue) -> None:
    """The flow is a process here, with a kubeconfig."""
    text = (team.repository / "builder.toml").read_text()
    pod = f'[launch.finetune.pod]\ncpu = "0.1"\nmemory = "512Mi"\ngpus = 1\ngpu_resource = "{gang_queue.resource}"\n'
    team.commit("Ask for a GPU", {"builder.toml": f"{text}{pod}"})
    here = team.json("run", "finetune@HEAD", "evals=click")
    there = team.json("run", "finetune@HEAD", "evals=click", "--place", "finetune=jobset", "--again")
    for key in ("scores", "loss", "checkpoint"):
        assert there[key] == here[key], key
    assert "loss" in team.ok("logs", there["run"], "finetune")


def test_a_gang_that_does_not_fit_starts_none_of_its_pods(launch: Any, job: Any, gang_queue: GangQueue) -> None:
    said: list[str] = []
    launcher = launch(said, nodes=3, wait_for_nodes=True)
    gang_queue.give(2)
    name = launcher.submit(job("true"))
    until(lambda: launcher.poll(name, 0.5) is None and any("maximum capacity" in text for text in said))
    assert gang_queue.pods(name) == []
    refused = launch(nodes=3)
    with pytest.raises(LaunchError, match=rf"step train can never start in queue {QUEUE}: .*maximum capacity") as caught:
        finish(refused, job("true", attempt=2))
    assert "--wait-for-nodes" in caught.value.hint

    holder = launch()
    held = holder.submit(job("sleep", "600", attempt=3, log="holder"))
    until(lambda: holder.poll(held, 0.5) is None and len(gang_queue.pods(held)) == 2)
    second_said: list[str] = []
    second = launch(second_said)
    waiting = second.submit(job("true", attempt=4, log="second"))
    until(lambda: second.poll(waiting, 0.5) is None and any("insufficient unused quota" in text for text in second_said))
    assert gang_queue.pods(waiting) == gang_queue.pods(name) == []

    workload = next(
        found["metadata"]["name"]
        for found in gang_queue.cluster.read("--namespace", gang_queue.namespace, "workloads")["items"]
        if found["metadata"]["ownerReferences"][0]["name"] == held
    )
    where = ("--namespace", gang_queue.namespace, "patch", "workload", workload)
    gang_queue.cluster.output(*where, "--type=merge", '--patch={"spec":{"active":false}}')  # Kueue takes it off its nodes
    assert until(lambda: holder.poll(held, 5.0)).end == "lost"
    until(lambda: not gang_queue.pods(held))
    assert until(lambda: second.poll(waiting, 5.0)) == Finished(0), "there is room now"

    assert gang_queue.pods(name) == []
    gang_queue.give(3)
    assert until(lambda: launcher.poll(name, 5.0)) == Finished(0)
