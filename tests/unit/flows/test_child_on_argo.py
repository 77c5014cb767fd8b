"""What a step's pod does to start a run: at once where the template is there, through the starter where it is not, and once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.data.ledger import EXIT, RUN
from builder.deploy.render import API
from builder.errors import AuthError, BuilderError, LaunchError, SettingsError, UsageError
from builder.runs.chained import start_following
from builder.runs.child_on_argo import OnArgo, find_template, task_of
from builder.runs.prepare import release_request, starter_for
from builder.settings import DataSettings, DeploySettings, FlowSettings, Settings
from builder.steps.outbox import DEEPEST, start_asked
from builder.steps.request import Origin, Request, Start, Task
from builder.steps.request_file import kept_request
from builder.steps.root import ledger_of, objects_of
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.requests import request_in

FLOW = FlowSettings(config="c.yaml", command=("true",), evals={"click": ("true",), "type": ("true",)})
CHILD = Start("finetune-from-0123456789", "finetune", Origin(who="ada", parent="run-1", depth=1), where="run-1: step finetune: line 1")


def request_on(tmp_path: Path, **fields: Any) -> Request:
    known: dict[str, Any] = {"on": "argo", "namespace": "team", "subject": "First", "evals": ("click", "type")}
    request = request_in(tmp_path, FLOW, **{**known, **fields})
    (tmp_path / "code/c.yaml").write_text("lr: 0.1\n")
    return request


def template(request: Request, name: str, created: str = "2024-05-01T08:00:00Z", parameter: str = "request") -> dict[str, Any]:
    digest = request.reference.rpartition("@sha256:")[2]
    labels = {"builder/flow": request.flow, "builder/commit": request.commit, "builder/digest": digest[:16]}
    metadata = {"name": name, "namespace": "team", "labels": labels, "annotations": {"builder/reference": request.reference}}
    spec = {"arguments": {"parameters": [{"name": parameter, "value": release_request(request).pack()}]}}
    kind = {"apiVersion": API, "kind": "WorkflowTemplate"}
    return {**kind, "metadata": {**metadata, "creationTimestamp": created}, "spec": spec}


def cluster_with(*templates: dict[str, Any]) -> MemoryCluster:
    cluster = MemoryCluster()
    for found in templates:
        cluster.create(found)
        kept = cluster.objects["workflowtemplates", found["metadata"]["name"]]
        kept["metadata"]["creationTimestamp"] = found["metadata"].get("creationTimestamp", "2024-05-01T08:00:00Z")
    return cluster


def workflows(cluster: MemoryCluster) -> dict[str, Any]:
    return {name: found for (kind, name), found in cluster.objects.items() if kind == "workflows"}


def told(workflow: dict[str, Any]) -> Request:
    return Request.unpack(workflow["spec"]["arguments"]["parameters"][0]["value"])


def test_a_run_of_a_template_that_is_there(tmp_path: Path) -> None:
    request = request_on(tmp_path, overrides=("lr=0.7",), origin=Origin(retried="old", redo="freeze", schedule="nightly"))
    cluster = cluster_with(template(request, "finetune-aaaaaaaaaaaa-01234567"))
    start = replace(CHILD, overrides=("lr=0.5",), evals=("click",))
    OnArgo(cluster).prepare(request, start)()

    (found,) = workflows(cluster).values()
    assert found["metadata"]["name"] == CHILD.run
    assert found["metadata"]["annotations"]["builder/parent"] == "run-1"
    assert found["spec"]["workflowTemplateRef"] == {"name": "finetune-aaaaaaaaaaaa-01234567"}
    child = told(found)
    assert (child.run, child.overrides, child.evals, child.origin) == (CHILD.run, ("lr=0.5",), ("click",), CHILD.origin)
    assert (child.commit, child.reference, child.settings) == (request.commit, request.reference, request.settings)

    record = ledger_of(request).read(CHILD.run)[RUN]
    assert (record["state"], record["commit"], record["origin"]["parent"], record["on"]) == ("submitted", request.commit, "run-1", "argo")
    assert kept_request(objects_of(request), CHILD.run) == child


def test_nothing_is_done_before_all_is_known_to_be_right(tmp_path: Path) -> None:
    cluster = cluster_with(template(request_on(tmp_path), "t"))
    OnArgo(cluster).prepare(request_on(tmp_path), CHILD)
    assert workflows(cluster) == {}
    assert ledger_of(request_on(tmp_path)).read(CHILD.run) == {}


def test_a_run_is_started_once(tmp_path: Path) -> None:
    """Tried again, also after it has ended and its workflow was cleaned up."""
    request = request_on(tmp_path)
    cluster = cluster_with(template(request, "t"))
    for _ in range(2):
        OnArgo(cluster).prepare(request, CHILD)()
    assert len(workflows(cluster)) == 1
    cluster.delete("workflows", CHILD.run)
    OnArgo(cluster).prepare(request, CHILD)()
    assert workflows(cluster) == {}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_pod_that_is_killed_in_between(tmp_path: Path, when: str) -> None:
    """Killed when the ledger, but not yet the cluster, has the run; and the other way round."""
    request, cluster = request_on(tmp_path), cluster_with(template(request_on(tmp_path), "t"))
    create = cluster.create

    class KilledError(BaseException):
        pass

    def dying(manifest: Any) -> bool:
        if when == "after":
            create(manifest)
        raise KilledError

    cluster.create = dying  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builder.runs.argo.BaseException", (), raising=False)  # a process that is killed writes nothing more
        with pytest.raises(KilledError):
            OnArgo(cluster).prepare(request, CHILD)()
    cluster.create = create  # type: ignore[method-assign]
    OnArgo(cluster).prepare(request, CHILD)()
    assert len(workflows(cluster)) == 1
    assert ledger_of(request).read(CHILD.run)[RUN]["state"] == "submitted"


def test_the_template_of_the_run_itself_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_on(tmp_path)
    others = [template(replace(request, reference=f"registry.test/x@sha256:{'1' * 64}"), "another-image", "2026-05-01T08:00:00Z")]
    others += [template(replace(request, commit="b" * 40), "another-commit"), template(replace(request, flow="other"), "another-flow")]
    cluster = cluster_with(template(request, "old"), template(request, "new", "2025-05-01T08:00:00Z"), *others)
    assert (find_template(cluster, request, "finetune") or {})["metadata"]["name"] == "new"
    monkeypatch.setenv("ARGO_WORKFLOW_TEMPLATE", "old")
    assert (find_template(cluster, request, "finetune") or {})["metadata"]["name"] == "old"
    assert (find_template(cluster, request, "other") or {})["metadata"]["name"] == "another-flow"
    assert find_template(cluster, request, "nothing") is None


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"on": "docker"}, UsageError, "a run on Argo cannot start one on docker"),
        ({"evals": ("klick",)}, UsageError, r"\[flow.other.evals\] has no such action type"),
        ({"overrides": ("lrr=1",)}, SettingsError, "lrr: c.yaml has no such key"),
    ],
)
def test_words_that_another_flow_does_not_take(tmp_path: Path, words: dict[str, Any], error: type[BuilderError], message: str) -> None:
    request = request_on(tmp_path)
    cluster = cluster_with(template(replace(request, flow="other"), "t"))
    with pytest.raises(error, match=message):
        OnArgo(cluster).prepare(request, replace(CHILD, flow="other", **words))


def test_what_may_not_be_done_is_the_steps_error(tmp_path: Path) -> None:
    request = request_on(tmp_path)
    cluster = cluster_with(template(request, "t"))

    def refuse(verb: str, kind: str, name: str) -> None:
        raise AuthError(f"{verb} {kind} is forbidden")

    cluster.fault = refuse
    with pytest.raises(AuthError):
        OnArgo(cluster).prepare(request, CHILD)
    (tmp_path / "out/finetune").mkdir(parents=True)
    (tmp_path / "out/finetune/outbox.jsonl").write_text(json.dumps({"start": "finetune"}))
    with pytest.raises(LaunchError, match="run-1: step finetune: line 1 of its outbox: "):
        start_asked(Task(request, starter=OnArgo(cluster)), "finetune", {})


def test_a_step_on_argo_has_a_starter_and_one_here_has_none(tmp_path: Path) -> None:
    assert task_of(request_on(tmp_path).pack(), "argo-x", 0).starter is not None
    assert task_of(request_in(tmp_path).pack(), "x", 0).starter is None


# --- other revisions ------------------------------------------------------------------------------------------------------------------


def with_starter(tmp_path: Path) -> tuple[Request, MemoryCluster]:
    settings = Settings(deploy=DeploySettings(namespace="team", git_secret="git"), data=DataSettings("s3://bucket/team"))
    request = request_on(tmp_path)
    found = starter_for(request, settings)
    assert found is not None
    return replace(request, starter=found["metadata"]["name"]), cluster_with(found)


@pytest.mark.parametrize("rev", ["main", "same"])
def test_the_starter_starts_other_revisions_and_flows_without_a_template(tmp_path: Path, rev: str) -> None:
    request, cluster = with_starter(tmp_path)
    start = replace(CHILD, rev=rev, overrides=("lr=0.5",))
    for _ in range(2):
        OnArgo(cluster).prepare(request, start)()
    (found,) = workflows(cluster).values()
    assert found["metadata"]["name"] == f"start-{CHILD.run}"
    assert found["spec"]["workflowTemplateRef"] == {"name": request.starter}
    (parameter,) = found["spec"]["arguments"]["parameters"]
    assert Start.unpack(parameter["value"]) == start
    record = ledger_of(request).read(CHILD.run)[RUN]
    assert (record["state"], record["flow"], record["origin"]["parent"]) == ("starting", "finetune", "run-1")
    assert record["starter"] == f"start-{CHILD.run}"


def test_a_run_that_has_begun_gets_no_second_starter(tmp_path: Path) -> None:
    request, cluster = with_starter(tmp_path)
    ledger_of(request).write(CHILD.run, RUN, {"state": "submitted", "flow": "finetune"})
    OnArgo(cluster).prepare(request, replace(CHILD, rev="main"))()
    assert workflows(cluster) == {}


def test_without_a_starter_other_revisions_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"\[flow.finetune\] at main is nothing that the account of steps can start") as caught:
        OnArgo(MemoryCluster()).prepare(request_on(tmp_path), replace(CHILD, rev="main"))
    assert "[deploy] git_secret" in caught.value.hint
    request, cluster = with_starter(tmp_path)
    cluster.objects.clear()
    with pytest.raises(LaunchError, match=f"{request.starter}, which starts .* is gone"):
        OnArgo(cluster).prepare(request, replace(CHILD, rev="main"))


# --- flows that come after ------------------------------------------------------------------------------------------------------------


def ended(request: Request, state: str) -> None:
    ledger_of(request).write(request.run, EXIT, {"state": state, "ended": "2024-05-01T08:00:00Z"})


def test_a_flow_that_comes_after(tmp_path: Path) -> None:
    request = request_on(tmp_path, then={"publish": "succeeded", "mourn": "failed"})
    cluster = cluster_with(template(replace(request, flow="publish"), "p"), template(replace(request, flow="mourn"), "m"))
    ended(request, "succeeded")
    for _ in range(2):
        start_following(request, OnArgo(cluster))
    ((name, found),) = workflows(cluster).items()
    assert told(found).flow == "publish"
    record = ledger_of(request).read("run-1")[EXIT]
    assert (record["children"], record["state"]) == ([name], "succeeded")


def test_a_flow_that_comes_after_needs_no_file_of_the_commit(tmp_path: Path) -> None:
    """What looks after the end runs in an image without the commit."""
    request = request_on(tmp_path, then={"publish": "succeeded"})
    cluster = cluster_with(template(replace(request, flow="publish"), "p"))
    (tmp_path / "code/c.yaml").unlink()
    ended(request, "succeeded")
    start_following(request, OnArgo(cluster))
    assert len(workflows(cluster)) == 1


@pytest.mark.parametrize("depth", [0, DEEPEST])
def test_one_that_cannot_start_is_a_run_that_failed(tmp_path: Path, depth: int) -> None:
    request = request_on(tmp_path, then={"publish": "ended"}, origin=Origin(depth=depth))
    ended(request, "failed")
    start_following(request, OnArgo(MemoryCluster()))
    (name,) = ledger_of(request).read("run-1")[EXIT]["children"]
    record = ledger_of(request).read(name)[RUN]
    assert (record["state"], record["flow"], record["origin"]["parent"]) == ("failed", "publish", "run-1")
    assert ("may start no other" in record["error"]) is bool(depth)


def test_nothing_comes_after_a_run_that_somebody_stopped(tmp_path: Path) -> None:
    request = request_on(tmp_path, then={"publish": "ended"})
    ended(request, "stopped")
    start_following(request, OnArgo(MemoryCluster()))
    assert "children" not in ledger_of(request).read("run-1")[EXIT]
