"""Back to a commit whose template is still there: at once, whatever the server does meanwhile, and not forward again unasked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.deploy.apply import Applied
from builder.deploy.cron import commit_of, cron_workflow, request_of, template_of
from builder.deploy.deployment import Deployment, deploy, foresee
from builder.deploy.history import ROLLBACK, Deployed
from builder.deploy.rollback import Rollback, foresee_rollback, last_green, live, live_commit, roll_back, template_at
from builder.errors import AuthError, BuilderError, ClusterError, DeployError, UsageError
from builder.model.run import RunResult
from builder.settings import FlowSettings, ScheduleSettings
from builder.steps import green
from builder.steps.request import Origin, Request
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.records import clock, root
from tests.fixtures.releases import FLOW, REFERENCE, release, template
from tests.fixtures.requests import request_in

A, B, C = "a" * 40, "b" * 40, "c" * 40
REPOSITORY = REFERENCE.partition("@")[0]
TWO = replace(FLOW, evals={"click": ("c",), "type": ("t",)})
NIGHTLY = {"nightly": ScheduleSettings("finetune", "0 2 * * *", "Europe/Berlin", set=("lr=1",))}
BOTH = {**NIGHTLY, "weekly": ScheduleSettings("finetune", "@weekly", set=("evals=click",))}


def deployment(tmp_path: Path, commit: str, schedules: dict[str, ScheduleSettings], flow: FlowSettings = TWO) -> Deployment:
    """As the command line makes it."""
    made, crons = template(tmp_path, flow, commit=commit, evals=tuple(sorted(flow.evals))), []
    for name, schedule in schedules.items():
        evals = tuple(word.removeprefix("evals=") for word in schedule.set if word.startswith("evals="))
        request = replace(
            release(tmp_path, flow, commit=commit).request,
            overrides=tuple(word for word in schedule.set if not word.startswith("evals=")),
            evals=evals or tuple(sorted(flow.evals)),
            origin=Origin(who=f"schedule {name}", schedule=name, main=True),
        )
        crons.append(cron_workflow(name, schedule, made, request))
    return Deployment((made,), {}, tuple(crons), frozenset(schedules), REPOSITORY)


def brought(
    tmp_path: Path, cluster: MemoryCluster, commit: str, schedules: dict[str, ScheduleSettings] | None = None, **options: Any
) -> None:
    wanted = deployment(tmp_path, commit, BOTH if schedules is None else schedules)
    list(deploy(cluster, wanted, "Ada", sleep=lambda _: None, **options))


def two(tmp_path: Path, schedules: dict[str, ScheduleSettings] | None = None) -> MemoryCluster:
    cluster = MemoryCluster()
    for commit in (A, B):
        brought(tmp_path, cluster, commit, schedules)
    return cluster


def plan(cluster: MemoryCluster, commit: str = A, schedule: str = "") -> Rollback:
    crons = live(cluster, "finetune", REPOSITORY, schedule)
    return Rollback("finetune", tuple(crons), template_at(cluster, "finetune", commit, REPOSITORY, list), main=True)


def back(cluster: MemoryCluster, commit: str = A, **options: Any) -> list[Applied]:
    return list(roll_back(cluster, plan(cluster, commit), "Bob", sleep=lambda _: None, **options))


def cron(cluster: MemoryCluster, name: str = "nightly") -> dict[str, Any]:
    found = cluster.get("cronworkflows", name)
    assert found is not None
    return found


def commits(cluster: MemoryCluster) -> dict[str, str]:
    return {name: commit_of(cron(cluster, name)) for name in ("nightly", "weekly")}


# --- back


def test_it_is_as_if_the_commit_had_been_deployed_again(tmp_path: Path) -> None:
    cluster = two(tmp_path)
    cluster.patch("cronworkflows", "weekly", {"spec": {"suspend": True}})
    cluster.asked = []
    assert [(applied.name, applied.done) for applied in back(cluster)] == [("nightly", "changed"), ("weekly", "changed")]
    assert {verb for verb, _, _ in cluster.asked} == {"list", "patch"}, "nothing is made"
    assert {applied.done for applied in foresee(cluster, deployment(tmp_path, A, BOTH))} == {"found"}
    assert cron(cluster, "weekly")["spec"]["suspend"] is True
    assert cron(cluster)["metadata"]["annotations"]["builder/deployed-by"] == "Bob"


def test_when_it_starts_and_what_it_sets_are_the_clusters(tmp_path: Path) -> None:
    cluster = two(tmp_path)
    cluster.patch("cronworkflows", "nightly", {"spec": {"schedules": ["1 1 * * *"], "timezone": "UTC"}})
    back(cluster)
    assert (cron(cluster)["spec"]["schedules"], cron(cluster)["spec"]["timezone"]) == (["1 1 * * *"], "UTC")
    assert (request_of(cron(cluster)).overrides, request_of(cron(cluster)).evals) == (("lr=1",), ("click", "type"))
    assert request_of(cron(cluster, "weekly")).evals == ("click",)
    assert request_of(cron(cluster)).origin == Origin(who="schedule nightly", schedule="nightly", main=True)


def test_all_action_types_stay_all_of_them(tmp_path: Path) -> None:
    """The commit of before had other ones."""
    cluster = MemoryCluster()
    three = replace(FLOW, evals=dict.fromkeys(("click", "drag", "type"), ("x",)))
    for commit, flow in ((A, three), (B, TWO)):
        list(deploy(cluster, deployment(tmp_path, commit, NIGHTLY, flow), "Ada", sleep=lambda _: None))
    back(cluster)
    assert request_of(cron(cluster)).evals == ("click", "drag", "type")


def test_an_action_type_that_the_commit_does_not_have(tmp_path: Path) -> None:
    cluster, one = MemoryCluster(), replace(FLOW, evals={"type": ("t",)})
    list(deploy(cluster, deployment(tmp_path, A, {}, one), "Ada", sleep=lambda _: None))
    brought(tmp_path, cluster, B)
    with pytest.raises(DeployError, match=f"weekly evaluates click, which {A[:12]} does not have"):
        back(cluster)
    assert set(commits(cluster).values()) == {B}, "it is refused before anything is changed"


def test_looking_changes_nothing(tmp_path: Path) -> None:
    cluster = two(tmp_path)
    before = {name: cron(cluster, name) for name in BOTH}
    planned = foresee_rollback(plan(cluster))
    assert {applied.done for applied in planned} == {"changed"}
    assert any(line.startswith("spec.workflowSpec.workflowTemplateRef.name: ") for line in planned[0].differences)
    assert {name: cron(cluster, name) for name in BOTH} == before


def test_the_second_time_nothing_is_done(tmp_path: Path) -> None:
    cluster = two(tmp_path)
    back(cluster)
    before = dict(cluster.objects)
    assert {applied.done for applied in back(cluster)} == {"found"}
    assert cluster.objects == before


def test_one_schedule_alone(tmp_path: Path) -> None:
    cluster = two(tmp_path)
    list(roll_back(cluster, plan(cluster, schedule="weekly"), "Bob", sleep=lambda _: None))
    assert commits(cluster) == {"nightly": B, "weekly": A}
    with pytest.raises(DeployError, match=r"the schedules start different commits: nightly b{12}, weekly a{12}"):
        live_commit(live(cluster, "finetune", REPOSITORY))
    with pytest.raises(DeployError, match="no schedule monthly of finetune") as error:
        live(cluster, "finetune", REPOSITORY, "monthly")
    assert error.value.hint == "schedules of finetune there: nightly, weekly"


def test_schedules_of_others_are_left_alone(tmp_path: Path) -> None:
    cluster = two(tmp_path)
    with pytest.raises(DeployError, match="no schedule of finetune is in namespace team"):
        live(cluster, "finetune", "other.test/team")
    with pytest.raises(DeployError, match="no schedule of train is in namespace team"):
        live(cluster, "train", REPOSITORY)


def test_what_becomes_live_is_told_when_it_is(tmp_path: Path) -> None:
    cluster, told = two(tmp_path), list[Deployed]()
    back(cluster, remember=told.append)
    assert [(entry.schedule, entry.commit, entry.before, entry.who, entry.how) for entry in told] == [
        ("nightly", A, B, "Bob", ROLLBACK),
        ("weekly", A, B, "Bob", ROLLBACK),
    ]
    assert told[0].template == template_of(cron(cluster))


@pytest.mark.parametrize("kind", [ClusterError, AuthError])
@pytest.mark.parametrize("at", range(1, 8))
def test_a_server_that_goes_away_leaves_nothing_half(tmp_path: Path, at: int, kind: type[BuilderError]) -> None:
    """Whichever request fails: each schedule starts the one or the other whole, and the command that is named does the rest."""
    cluster = two(tmp_path)
    cluster.asked = []

    def away(verb: str, name: str, _: str) -> None:
        if len(cluster.asked) >= at:
            raise kind("the server did not answer", "is it up?")

    cluster.fault = away
    hint = ""
    try:
        back(cluster)
    except BuilderError as error:
        hint = error.hint
    cluster.fault = lambda *_: None
    for name in BOTH:
        found = cron(cluster, name)
        labels = found["spec"]["workflowMetadata"]["labels"]
        assert commit_of(found) == labels["builder/commit"] == request_of(found).commit == template_of(found).split("-")[1][:1] * 40
    if at > 2 and hint:
        assert hint.startswith(f"`builder deploy --rollback finetune --to {A[:12]}` does the rest")
    back(cluster)
    assert set(commits(cluster).values()) == {A}


def test_a_schedule_that_is_removed_meanwhile(tmp_path: Path) -> None:
    cluster = two(tmp_path)
    planned = plan(cluster)
    cluster.delete("cronworkflows", "weekly")
    with pytest.raises(DeployError, match="schedule weekly was removed meanwhile"):
        list(roll_back(cluster, planned, "Bob", sleep=lambda _: None))


# --- the template


def test_a_template_that_is_gone(tmp_path: Path) -> None:
    cluster = two(tmp_path)
    with pytest.raises(DeployError, match=f"the template of finetune at {C[:12]} is not in namespace team any more") as error:
        plan(cluster, C)
    assert error.value.hint == f"`builder deploy --commit {C[:12]} finetune` makes it again"


def test_several_templates_of_one_commit(tmp_path: Path) -> None:
    """Other settings make another template of the same commit: the one that was live counts, else the newest."""
    cluster = two(tmp_path)
    (was,) = [found["metadata"]["name"] for found in cluster.list("workflowtemplates", {"builder/commit": A})]
    other = template(tmp_path, replace(TWO, command=("other",)), commit=A)
    cluster.create(other)
    cluster.objects["workflowtemplates", other["metadata"]["name"]]["metadata"]["creationTimestamp"] = "2025-05-01T08:00:00Z"

    def chosen(was_live: Callable[[], list[str]]) -> str:
        return str(template_at(cluster, "finetune", A, REPOSITORY, was_live)["metadata"]["name"])

    assert chosen(list) == other["metadata"]["name"]
    assert chosen(lambda: ["finetune-gone", was, other["metadata"]["name"]]) == was


# --- the last green commit


def passed(tmp_path: Path, commit: str, at: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(green, "now", lambda: clock(at))
    request = request_in(tmp_path, TWO, run=f"run-{at}", commit=commit, evals=("click", "type"), origin=Origin(main=True))
    green.remember(root(tmp_path), request, RunResult(request.run, "finetune", commit, REFERENCE, "succeeded", identity=str(at)))


def test_the_last_green_commit_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for at, commit in enumerate((A, B, A, C)):
        passed(tmp_path, commit, 100 * at, monkeypatch)
    assert last_green(root(tmp_path), "finetune", B, lambda _: True) == C
    assert last_green(root(tmp_path), "finetune", B, lambda sha: sha < B) == A, "a newer one is no way back"
    with pytest.raises(DeployError, match=f"no run of finetune at a commit before {A[:12]} has passed") as error:
        last_green(root(tmp_path), "finetune", A, lambda sha: sha < A)
    assert "--history" in error.value.hint


# --- and on


def test_the_commit_that_was_left_is_not_deployed_again_unasked(tmp_path: Path) -> None:
    cluster = two(tmp_path)
    back(cluster)
    before = {name: cron(cluster, name) for name in BOTH}
    for wanted in (lambda: foresee(cluster, deployment(tmp_path, B, BOTH)), lambda: brought(tmp_path, cluster, B)):
        with pytest.raises(DeployError, match=f"schedule nightly was rolled back from {B[:12]} by Bob") as error:
            wanted()
        assert error.value.hint.endswith("--again")
    assert {name: cron(cluster, name) for name in BOTH} == before
    (line,) = [line for line in foresee(cluster, deployment(tmp_path, B, NIGHTLY), again=True)[1].differences if "rolled-back" in line]
    assert line == f'metadata.annotations.builder/rolled-back: "{B}" -> nothing'
    brought(tmp_path, cluster, B, again=True)
    assert set(commits(cluster).values()) == {B}
    assert "builder/rolled-back" not in cron(cluster)["metadata"]["annotations"]


def test_another_commit_goes_live_as_ever(tmp_path: Path) -> None:
    cluster = two(tmp_path)
    back(cluster)
    brought(tmp_path, cluster, A)
    assert cron(cluster)["metadata"]["annotations"]["builder/rolled-back"] == B, "the same as is live changes nothing"
    brought(tmp_path, cluster, C)
    assert set(commits(cluster).values()) == {C}
    assert "builder/rolled-back" not in cron(cluster)["metadata"]["annotations"]
    brought(tmp_path, cluster, B)
    assert set(commits(cluster).values()) == {B}


def test_a_request_that_cannot_be_read(tmp_path: Path) -> None:
    cluster = two(tmp_path, NIGHTLY)
    for value in ("", "request-x", "request-e30=", "{{x}}"):
        parameters = [{"name": "request", "value": value}]
        cluster.patch("cronworkflows", "nightly", {"spec": {"workflowSpec": {"arguments": {"parameters": parameters}}}})
        with pytest.raises(DeployError, match="cronworkflow nightly holds no request that can be read"):
            back(cluster)


def test_parameters_of_a_flow_of_ones_own_that_the_commit_does_not_take(tmp_path: Path) -> None:
    cluster = two(tmp_path, NIGHTLY)
    rollback = plan(cluster)
    released = rollback.template["spec"]["arguments"]["parameters"][0]["value"]
    request = Request.unpack(released)
    own = replace(request, settings=FlowSettings(file="flows/x.py"), evals=())
    rollback.template["spec"]["arguments"]["parameters"][0] = {"name": "builder-request", "value": own.pack()}
    with pytest.raises(UsageError, match="lr: finetune has no such parameter"):
        foresee_rollback(rollback)
