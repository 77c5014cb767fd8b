"""The launcher of gangs where the cluster answers as it seldom does: what cannot be had from a real one within seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.data.directory import DirectoryObjects
from builder.errors import ClusterError, LaunchError
from builder.launch import Finished, Job
from builder.launch.jobset.files import Gang
from builder.launch.jobset.launcher import JobSets, cancel_all
from builder.launch.jobset.logs import Logs
from builder.launch.jobset.manifest import Pods, jobset, name_of
from builder.settings import JobSetSettings, PodSettings
from tests.fixtures.memory_cluster import MemoryCluster

NAME = "train-1-train-a1"
SETTINGS = JobSetSettings(queue="gangs", nodes=2)
Scene = tuple[JobSets, MemoryCluster, Gang, Job]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A gang that was submitted, with a file that rank 0 has left."""
    cluster, objects = MemoryCluster(), DirectoryObjects(tmp_path / "data")
    launcher = JobSets(cluster, objects, "train-1", SETTINGS, PodSettings(), Pods("registry/agent@sha256:0"))
    base = tmp_path / "run"
    (base / "checkpoint").mkdir(parents=True)
    job = Job("train", ("true",), tmp_path / "code", base / "log", base=base, outputs=(base / "checkpoint",))
    assert launcher.submit(job) == NAME
    there = tmp_path / "there"
    (there / "checkpoint").mkdir(parents=True)
    (there / "checkpoint/weights").write_text("1")
    gang = Gang(objects, NAME)
    gang.leave(there, [there / "checkpoint"])
    return launcher, cluster, gang, job


def pod(cluster: MemoryCluster, rank: int, *, log: bytes = b"", conditions: list[dict[str, str]] | None = None, state: Any = None) -> None:
    name, marks = (
        f"{NAME}-n-0-{rank}-abcde",
        {"jobset.sigs.k8s.io/jobset-name": NAME, "batch.kubernetes.io/job-completion-index": str(rank)},
    )
    status = {"conditions": conditions or [], "containerStatuses": [{"name": "main", "state": state or {"running": {"startedAt": "x"}}}]}
    cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": marks}, "status": status})
    cluster.logs[name, "main"] = log


def workload(cluster: MemoryCluster, *conditions: tuple[str, str, str]) -> None:
    """With conditions as type, status and message."""
    uid = cluster.get("jobsets", NAME)["metadata"]["uid"]  # type: ignore[index]
    listed = [{"type": kind, "status": status, "message": message, "reason": "Because"} for kind, status, message in conditions]
    metadata = {"name": "jobset-x", "labels": {"kueue.x-k8s.io/job-uid": uid}}
    cluster.create({"apiVersion": "kueue.x-k8s.io/v1beta1", "kind": "Workload", "metadata": metadata, "status": {"conditions": listed}})


def ended(cluster: MemoryCluster, state: str) -> None:
    cluster.patch("jobsets", NAME, {"status": {"terminalState": state}})


def test_how_a_gang_ended(scene: Scene) -> None:
    launcher, cluster, gang, job = scene
    assert launcher.poll(NAME, 0) is None
    ended(cluster, "Completed")
    assert launcher.poll(NAME, 0) == Finished(0)
    assert (job.outputs[0] / "weights").read_text() == "1"
    ended(cluster, "Failed")
    assert launcher.poll(NAME, 0) == Finished(-15, end="lost"), "no rank says why"
    gang.fail(1, 9)
    gang.fail(0, 143)
    assert launcher.poll(NAME, 0) == Finished(9), "the first one counts"


@pytest.mark.parametrize(
    ("conditions", "state", "end"),
    [
        ([{"type": "DisruptionTarget", "status": "True"}], None, "lost"),
        (None, {"terminated": {"reason": "OOMKilled", "exitCode": 137}}, "memory"),
    ],
)
def test_what_happened_to_a_pod_from_outside_counts_before_what_ranks_say(scene: Scene, conditions: Any, state: Any, end: str) -> None:
    launcher, cluster, gang, _ = scene
    pod(cluster, 1, conditions=conditions, state=state)
    gang.fail(0, 1)  # as it lost the other
    ended(cluster, "Failed")
    found = launcher.poll(NAME, 0)
    assert found is not None
    assert found.end == end


def test_a_gang_that_is_preempted_does_not_come_again_by_itself(scene: Scene) -> None:
    launcher, cluster, gang, job = scene
    workload(cluster, ("QuotaReserved", "False", "waits again"), ("Evicted", "True", "Preempted to accommodate a higher priority"))
    gang.fail(0, 1)
    assert launcher.poll(NAME, 0) == Finished(-15, end="lost")
    assert cluster.get("jobsets", NAME) is None
    assert gang.failure() is None
    assert launcher.submit(job) == NAME
    assert cluster.get("jobsets", NAME) is not None, "the same attempt, begun anew"


def test_why_it_waits(scene: Scene) -> None:
    launcher, cluster, _, _ = scene
    said: list[str] = []
    launcher.say = said.append
    assert launcher.poll(NAME, 0) is None
    workload(cluster, ("QuotaReserved", "False", "insufficient unused quota"))
    assert launcher.poll(NAME, 0) is None
    cluster.delete("workloads", "jobset-x")
    workload(cluster, ("QuotaReserved", "True", ""), ("Admitted", "True", ""))
    pod(cluster, 0)
    pod(cluster, 1, conditions=[{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}], state={"waiting": {}})
    assert launcher.poll(NAME, 0) is None
    assert said == [
        f"gang {NAME} waits in queue gangs: Kueue has not looked at it yet",
        f"gang {NAME} waits in queue gangs: insufficient unused quota",
        f"gang {NAME}: 1 of 2 pods have begun; {NAME}-n-0-1-abcde: 0/1 nodes",
    ]


def test_a_queue_that_is_not_there(scene: Scene) -> None:
    launcher, cluster, _, _ = scene
    workload(cluster, ("QuotaReserved", "False", "LocalQueue gangs doesn't exist"))
    with pytest.raises(LaunchError, match="can never start in queue gangs: LocalQueue gangs doesn't exist"):
        launcher.poll(NAME, 0)
    assert cluster.get("jobsets", NAME) is None


def test_who_comes_again_when_the_cluster_has_forgotten_it(scene: Scene) -> None:
    launcher, cluster, gang, job = scene
    cluster.delete("jobsets", NAME)
    with pytest.raises(LaunchError, match="is gone, and its ranks have not said how they ended") as caught:
        launcher.poll(NAME, 0)
    assert caught.value.end == "lost"
    gang.finish(0)
    gang.finish(1)
    assert launcher.submit(job) == NAME
    assert cluster.get("jobsets", NAME) is None, "it has ended long ago"
    assert launcher.poll(NAME, 0) == Finished(0)


def test_an_answer_that_is_lost_and_a_cluster_that_is_away(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher, cluster, _, job = scene
    cluster.delete("jobsets", NAME)
    create: Callable[..., bool] = cluster.create

    def lost(manifest: Any) -> bool:
        create(manifest)
        raise ClusterError("it did not answer")

    monkeypatch.setattr(cluster, "create", lost)
    assert launcher.submit(job) == NAME

    def away(verb: str, kind: str, name: str) -> None:
        raise ClusterError("it is away")

    before, cluster.fault = cluster.fault, away
    assert launcher.poll(NAME, 0) is None, "the gang goes on"
    cluster.fault = before
    launcher.cancel(NAME)
    assert launcher.poll(NAME, 0) == Finished(-15, end="killed")


def test_what_is_cancelled_is_the_runs_own_and_goes_on(scene: Scene) -> None:
    launcher, cluster, _, job = scene
    ended(cluster, "Completed")
    other = JobSets(cluster, launcher.objects, "train-2", SETTINGS, PodSettings(), launcher.pods)
    theirs = other.submit(job)
    cancel_all(cluster, "train-1")
    cancel_all(cluster, "train-3")
    assert cluster.get("jobsets", NAME) is not None
    cancel_all(cluster, "train-2")
    assert cluster.get("jobsets", theirs) is None


def test_logs_are_read_on_from_where_they_were(scene: Scene) -> None:
    _, cluster, _, _ = scene
    pod(cluster, 0, log=b"2024-05-01T08:00:01.1Z one\n2024-05-01T08:00:01.2Z two\n")
    pod(cluster, 1, log=b"2024-05-01T08:00:01.15Z other\n")
    logs = Logs(cluster, labelled=True)
    pods = list(cluster.list("pods"))
    assert logs.new(pods) == b"0: one\n1: other\n0: two\n"
    assert logs.new(pods) == b""
    cluster.logs[f"{NAME}-n-0-0-abcde", "main"] += b"2024-05-01T08:00:01.2Z at the same time\n2024-05-01T08:00:02Z three\n"
    assert logs.new(pods) == b"0: at the same time\n0: three\n"
    assert Logs(cluster, labelled=False).new(pods[1:]) == b"other\n"


def test_names_are_short_enough_for_pods() -> None:
    assert name_of("train-abc1234-0f0f0f", "train", 2) == "train-abc1234-0f0f0f-train-a2"
    long = name_of("finetune-from-0123456789-and-more", "evaluate-Some_Action", 1)
    assert long == name_of("finetune-from-0123456789-and-more", "evaluate-Some_Action", 1)
    assert len(f"{long}-n-0-999-abcde") <= 63
    assert long.startswith("gang-")


def test_what_pods_are_told_and_ask_for() -> None:
    pods = Pods("registry/agent@sha256:0", "builder-run", ("s3",), ("pull",), 60, {"A": "b"})
    pod = PodSettings(cpu="8", memory="64Gi", gpus=8, shared_memory="16Gi", tolerations=("gpu",))
    made = jobset("x", "team", {"builder/run": "x"}, JobSetSettings(queue="q", priority="high", nodes=32), pod, pods)
    assert made["metadata"]["labels"].items() >= {"kueue.x-k8s.io/queue-name": "q", "kueue.x-k8s.io/priority-class": "high"}.items()
    assert made["spec"]["failurePolicy"] == {"maxRestarts": 0}
    job = made["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert (job["parallelism"], job["completions"], job["completionMode"], job["backoffLimit"]) == (32, 32, "Indexed", 0)
    spec = job["template"]["spec"]
    (container,) = spec["containers"]
    told = {variable["name"]: variable["value"] for variable in container["env"]}
    assert told["MASTER_ADDR"] == told["PET_MASTER_ADDR"] == "x-n-0-0.x.team.svc"
    assert (told["PET_NNODES"], told["PET_NPROC_PER_NODE"], told["WORLD_SIZE"], told["A"]) == ("32", "8", "32", "b")
    assert container["resources"]["limits"] == {"memory": "64Gi", "nvidia.com/gpu": "8"}
    assert container["image"] == "registry/agent@sha256:0"
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("builder-run", False)
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
