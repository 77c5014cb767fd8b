"""Bringing a commit's flows to a cluster: once, in order, never half; schedules change in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.deploy.apply import Applied, ensure_queue, ensure_template, workflow
from builder.deploy.compare import differences
from builder.deploy.cron import cron_workflow, template_of
from builder.deploy.deployment import Deployment, deploy, foresee
from builder.errors import ClusterError, DeployError
from builder.settings import QueueSettings, ScheduleSettings
from builder.steps.request import Origin, Request
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.releases import FLOW, REFERENCE, release, template

NIGHTLY = ScheduleSettings("finetune", "0 2 * * *")
REPOSITORY = REFERENCE.partition("@")[0]


def deployment(tmp_path: Path, commit: str = "a" * 40, schedules: Mapping[str, ScheduleSettings] | None = None) -> Deployment:
    schedules = {"nightly": NIGHTLY} if schedules is None else schedules
    made = template(tmp_path, commit=commit)
    crons = []
    for name, schedule in schedules.items():
        request = replace(release(tmp_path, commit=commit).request, origin=Origin(who=f"schedule {name}", schedule=name))
        crons.append(cron_workflow(name, schedule, made, request))
    return Deployment((made,), {"finetune": 2}, tuple(crons), frozenset(schedules), REPOSITORY)


def brought(cluster: MemoryCluster, wanted: Deployment, **options: Any) -> dict[str, str]:
    """Kind to what was done."""
    return {applied.kind: applied.done for applied in deploy(cluster, wanted, "Ada", sleep=lambda _: None, **options)}


def nightly(cluster: MemoryCluster) -> dict[str, Any]:
    found = cluster.get("cronworkflows", "nightly")
    assert found is not None
    return found


# --- once, and in order


def test_the_second_time_nothing_is_done(tmp_path: Path) -> None:
    cluster, wanted = MemoryCluster(), deployment(tmp_path)
    assert brought(cluster, wanted) == {"template": "created", "queue": "created", "schedule": "created"}
    before, cluster.asked = dict(cluster.objects), []
    assert set(brought(cluster, wanted).values()) == {"found"}
    assert cluster.objects == before
    assert {verb for verb, _, _ in cluster.asked} <= {"get", "list", "create"}, "a template is created or found"


def test_schedules_come_last(tmp_path: Path) -> None:
    cluster = MemoryCluster()
    brought(cluster, deployment(tmp_path))
    written = [kind for verb, kind, _ in cluster.asked if verb == "create"]
    assert written == ["workflowtemplates", "configmaps", "cronworkflows"]


def test_another_commit_adds_a_template_and_points_the_schedule_at_it(tmp_path: Path) -> None:
    cluster = MemoryCluster()
    brought(cluster, deployment(tmp_path))
    first = nightly(cluster)
    assert brought(cluster, deployment(tmp_path, "b" * 40)) == {"template": "created", "queue": "found", "schedule": "changed"}
    second = nightly(cluster)
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert template_of(first) != template_of(second)
    assert len(list(cluster.list("workflowtemplates"))) == 2
    assert second["metadata"]["labels"]["builder/commit"] == second["spec"]["workflowMetadata"]["labels"]["builder/commit"] == "b" * 40


def test_looking_changes_nothing(tmp_path: Path) -> None:
    cluster = MemoryCluster()
    assert {applied.done for applied in foresee(cluster, deployment(tmp_path))} == {"created"}
    assert cluster.objects == {}
    brought(cluster, deployment(tmp_path))
    assert {applied.done for applied in foresee(cluster, deployment(tmp_path))} == {"found"}
    changed = {applied.kind: applied for applied in foresee(cluster, deployment(tmp_path, "b" * 40))}
    assert changed["schedule"].done == "changed"
    assert any(line.startswith("spec.workflowSpec.workflowTemplateRef.name: ") for line in changed["schedule"].differences)


@pytest.mark.parametrize("at", range(1, 14))
def test_a_server_that_goes_away_leaves_nothing_half(tmp_path: Path, at: int) -> None:
    """Whichever request fails: a schedule starts a template that is there, and deploying again does the rest."""
    cluster = MemoryCluster()
    brought(cluster, deployment(tmp_path))
    cluster.asked = []

    def away(verb: str, kind: str, name: str) -> None:
        if len(cluster.asked) >= at:
            raise ClusterError("the server did not answer")

    cluster.fault = away
    wanted = deployment(tmp_path, "b" * 40)
    try:
        done: dict[str, str] | None = brought(cluster, wanted)
    except ClusterError:
        done = None
    cluster.fault = lambda *_: None
    there = {found["metadata"]["name"] for found in cluster.list("workflowtemplates")}
    assert template_of(nightly(cluster)) in there
    assert done is None or template_of(nightly(cluster)) == wanted.templates[0]["metadata"]["name"]
    brought(cluster, wanted)
    assert template_of(nightly(cluster)) == wanted.templates[0]["metadata"]["name"]
    assert set(brought(cluster, wanted).values()) == {"found"}


# --- schedules


def test_what_a_schedule_says(tmp_path: Path) -> None:
    schedule = ScheduleSettings("finetune", "*/5 * * * *", "Europe/Berlin", "Replace")
    (cron,) = deployment(tmp_path, schedules={"nightly": schedule}).crons
    assert cron["metadata"]["name"] == "nightly"
    assert (cron["spec"]["schedules"], cron["spec"]["timezone"]) == (["*/5 * * * *"], "Europe/Berlin")
    assert cron["spec"]["concurrencyPolicy"] == "Replace"
    assert "schedule" not in cron["spec"], "Argo 4 does not take it"
    assert "suspend" not in cron["spec"]
    (parameter,) = cron["spec"]["workflowSpec"]["arguments"]["parameters"]
    request = Request.unpack(parameter["value"])
    assert (request.run, request.origin) == ("", Origin(who="schedule nightly", schedule="nightly"))


def test_a_paused_schedule_stays_paused(tmp_path: Path) -> None:
    cluster = MemoryCluster()
    brought(cluster, deployment(tmp_path))
    cluster.patch("cronworkflows", "nightly", {"spec": {"suspend": True}})
    assert set(brought(cluster, deployment(tmp_path)).values()) == {"found"}
    brought(cluster, deployment(tmp_path, "b" * 40))
    assert nightly(cluster)["spec"]["suspend"] is True


def test_one_that_the_settings_pause_is_made_paused_and_may_go_on(tmp_path: Path) -> None:
    cluster, paused = MemoryCluster(), {"nightly": replace(NIGHTLY, suspend=True)}
    brought(cluster, deployment(tmp_path, schedules=paused))
    assert nightly(cluster)["spec"]["suspend"] is True
    cluster.patch("cronworkflows", "nightly", {"spec": {"suspend": False}})
    brought(cluster, deployment(tmp_path, "b" * 40, paused))
    assert nightly(cluster)["spec"]["suspend"] is False


def test_who_deployed_is_written_down_and_no_difference(tmp_path: Path) -> None:
    cluster = MemoryCluster()
    brought(cluster, deployment(tmp_path))
    assert nightly(cluster)["metadata"]["annotations"]["builder/deployed-by"] == "Ada"
    list(deploy(cluster, deployment(tmp_path), "Bob", sleep=lambda _: None))
    assert nightly(cluster)["metadata"]["annotations"]["builder/deployed-by"] == "Ada"


def test_a_cronworkflow_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    cluster = MemoryCluster()
    cluster.create({"kind": "CronWorkflow", "metadata": {"name": "nightly"}, "spec": {"schedules": ["1 1 * * *"]}})
    with pytest.raises(DeployError, match="cronworkflow nightly is there, and builder did not make it"):
        brought(cluster, deployment(tmp_path))
    assert nightly(cluster)["spec"] == {"schedules": ["1 1 * * *"]}
    assert list(cluster.list("workflowtemplates")) == [], "it is known before anything is made"


def test_schedules_that_the_settings_no_longer_name(tmp_path: Path) -> None:
    cluster = MemoryCluster()
    both = {"nightly": NIGHTLY, "weekly": NIGHTLY}
    brought(cluster, deployment(tmp_path, schedules=both))
    theirs = dict(cluster.objects["cronworkflows", "weekly"])
    theirs["metadata"] = {**theirs["metadata"], "name": "theirs", "annotations": {"builder/reference": "other.test/x@sha256:1"}}
    cluster.create(theirs)
    cluster.create({"kind": "CronWorkflow", "metadata": {"name": "by-hand"}, "spec": {}})

    left = list(deploy(cluster, deployment(tmp_path), "Ada", sleep=lambda _: None))
    assert left[-1] == Applied("schedule", "weekly", "unknown")
    assert cluster.get("cronworkflows", "weekly") is not None
    pruned = list(deploy(cluster, deployment(tmp_path), "Ada", prune=True, sleep=lambda _: None))
    assert pruned[-1] == Applied("schedule", "weekly", "removed")
    assert {found["metadata"]["name"] for found in cluster.list("cronworkflows")} == {"nightly", "theirs", "by-hand"}


def test_argo_is_made_to_look_again_where_the_template_is_new(tmp_path: Path) -> None:
    """Its controller keeps a schedule as it was when it does not know the template yet."""
    cluster, slept = MemoryCluster(), list[float]()
    list(deploy(cluster, deployment(tmp_path), "Ada", sleep=slept.append))
    assert len(slept) == 1
    assert nightly(cluster)["metadata"]["annotations"]["builder/deployed"].endswith(", seen")
    list(deploy(cluster, deployment(tmp_path), "Ada", sleep=slept.append))
    assert len(slept) == 1


# --- parts


def test_a_template_that_runs_another_image_is_refused(tmp_path: Path) -> None:
    cluster, made = MemoryCluster(), template(tmp_path)
    ensure_template(cluster, made)
    cluster.patch("workflowtemplates", made["metadata"]["name"], {"metadata": {"annotations": {"builder/reference": "x@sha256:1"}}})
    with pytest.raises(DeployError, match="is there, and runs another image"):
        ensure_template(cluster, made)


def test_a_template_is_fresh_for_a_while(tmp_path: Path) -> None:
    cluster, made = MemoryCluster(), template(tmp_path)
    assert ensure_template(cluster, made) == (Applied("template", made["metadata"]["name"], "created"), True)
    assert ensure_template(cluster, made) == (Applied("template", made["metadata"]["name"], "found"), False)


def test_a_template_that_somebody_changed_is_told(tmp_path: Path) -> None:
    cluster, wanted = MemoryCluster(), deployment(tmp_path)
    brought(cluster, wanted)
    cluster.patch("workflowtemplates", wanted.templates[0]["metadata"]["name"], {"spec": {"entrypoint": "other"}})
    planned = {applied.kind: applied for applied in foresee(cluster, wanted)}
    assert planned["template"].differences == ('spec.entrypoint: "other" -> "Finetune"',)


def test_how_many_at_once_is_kept_by_flow() -> None:
    cluster = MemoryCluster()
    assert ensure_queue(cluster, "a", QueueSettings()) is None
    for flow, number, done in (("a", 1, "created"), ("b", 2, "changed"), ("a", 1, "found"), ("a", 3, "changed")):
        applied = ensure_queue(cluster, flow, QueueSettings(number))
        assert applied is not None
        assert applied.done == done
    found = cluster.get("configmaps", "builder-queues")
    assert found is not None
    assert found["data"] == {"a": "3", "b": "2"}
    assert found["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "builder"}


@pytest.mark.parametrize("fresh", [True, False])
def test_a_run_carries_the_spec_of_a_template_that_argo_may_not_know(tmp_path: Path, fresh: bool) -> None:
    made = template(tmp_path, FLOW)
    arguments = {"parameters": [{"name": "request", "value": "packed"}]}
    run = workflow(made, "run-1", arguments, {"builder/who": "Ada"}, fresh=fresh)
    assert run["metadata"]["name"] == run["metadata"]["labels"]["builder/run"] == "run-1"
    assert run["metadata"]["labels"]["workflows.argoproj.io/workflow-template"] == made["metadata"]["name"]
    assert run["metadata"]["annotations"] == {"builder/reference": REFERENCE, "builder/who": "Ada"}
    assert run["spec"]["arguments"] == arguments
    assert ("workflowTemplateRef" in run["spec"]) is not fresh
    assert ("templates" in run["spec"]) is fresh


# --- what differs


@pytest.mark.parametrize(
    ("wanted", "there", "lines"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, ()),
        ({"a": 1}, {}, ("a: nothing -> 1",)),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ("a.b[1]: 3 -> 2",)),
        ({"a": [1]}, {"a": [1, 2]}, ("a: [1, 2] -> [1]",)),
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "x", "v": 2, "more": 0}]}, ("a[x].v: 2 -> 1",)),
        ({"a": "x" * 200}, {"a": ""}, (f'a: "" -> "{"x" * 95}..."',)),
        ({"metadata": {"namespace": "a"}}, {"metadata": {"namespace": "b"}}, ()),
        ({"a": {}}, {"a": "text"}, ('a: "text" -> {}',)),
        ({"a": True}, {"a": 1}, ("a: 1 -> true",)),
    ],
)
def test_differences(wanted: dict[str, Any], there: dict[str, Any], lines: tuple[str, ...]) -> None:
    assert differences(wanted, there) == lines


def test_exactly() -> None:
    assert differences({"a": 1}, {"a": 1, "b": {"c": 2}}, exact=True) == ('b: {"c": 2} -> nothing',)
