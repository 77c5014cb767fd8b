"""The flows that look after all others: implied by a schedule, told the settings in force, heard of only when they fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.data.ledger import EXIT, Ledger
from builder.deploy.bootstrap import bootstrap
from builder.deploy.release import make_template
from builder.model.tree import Commit
from builder.runs.in_force import settings_of
from builder.runs.keepers import keeper_of
from builder.runs.prepare import Overrides, Wanted, choose_flow, make_request
from builder.settings import FlowSettings, Settings, load
from builder.steps import exit as ending
from builder.steps.notices import is_wanted
from builder.steps.request import Place, Request
from tests.fixtures.compiled import compiled

TEXT = """
[data]
root = "s3://bucket/team"

[store]
push = "here.test/x"
pull = "there.test/x"

[notify]
slack = true

[launch.default.slurm]
bastion = "login.test"
root = "/shared"

[launch.default.pod]
gpus = 8

[schedule.often]
flow = "watch"
cron = "*/15 * * * *"

[schedule.housekeep]
cron = "@daily"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "builder.toml").write_text(TEXT)
    return load(tmp_path, {})


def request_of(flow: str, settings: Settings) -> Request:
    commit = Commit("a" * 40, "b" * 40, (), 0, "ada", "First")
    place = Place("/code", "/builder-work/run")
    return make_request(Wanted(flow, commit, settings, Overrides(), ""), "argo", "", f"there.test/x@sha256:{'0' * 64}", place)


def test_a_schedule_is_enough(settings: Settings, tmp_path: Path) -> None:
    assert sorted(settings.flow) == ["housekeep", "watch"]
    assert [keeper_of(name, settings) for name in ("watch", "housekeep", "finetune")] == ["watch", "housekeep", ""]
    assert choose_flow("watch", settings).use == "watch"
    (tmp_path / "builder.toml").write_text("")
    plain = load(tmp_path, {})
    assert not plain.flow
    assert keeper_of("watch", plain) == "watch", "by hand it needs no table at all"


def test_a_flow_of_the_teams_own_stays_theirs(settings: Settings) -> None:
    own = replace(settings, flow={"watch": FlowSettings(file="flows/watch.py"), "night": FlowSettings(use="watch")})
    assert [keeper_of(name, own) for name in ("watch", "night")] == ["", "watch"]
    assert keeper_of("watch", replace(settings, flow={"watch": FlowSettings(use="finetune")})) == ""


def test_it_is_told_the_settings_in_force(settings: Settings) -> None:
    request = Request.unpack(request_of("watch", settings).pack())
    inside = settings_of(request)
    for table in ("watch", "housekeep", "launch", "schedule", "data", "notify"):
        assert getattr(inside, table) == getattr(settings, table), table
    assert request.launching("start").pod.gpus == 0, "what training asks for is not for a look"
    assert request.launching("start").on == "here"


def test_only_that_it_fails_is_told(settings: Settings) -> None:
    request = request_of("watch", settings)
    assert is_wanted(request.notify, "run", "failed")
    assert not any(is_wanted(request.notify, step, event) for step in ("run", "start") for event in ("started", "succeeded"))


def test_a_look_leaves_no_record_and_a_failed_one_does(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_of("watch", settings)
    request = replace(request, data=replace(request.data, root=str(tmp_path / "data")), notify=replace(request.notify, slack=False))
    ledger = Ledger(ending.objects_of(request))

    def end(run: str, status: str) -> dict[str, Any]:
        started = {"BUILDER_REQUEST": request.pack(), "BUILDER_RUN": run, "BUILDER_STATUS": status}
        ending.main({**started, "BUILDER_STARTED": "2024-05-01T08:00:00Z", "BUILDER_FAILURES": ""})
        return ledger.read(run)

    assert end("watch-1", "Succeeded") == {}
    assert end("watch-2", "Failed")[EXIT]["state"] == "failed"


def test_its_pods_have_an_account_of_their_own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def compile_flow(source: Any, target: Any, *_: Any) -> dict[str, Any]:
        asked.append(target.account)
        return compiled()

    monkeypatch.setattr("builder.deploy.release.compile_flow", compile_flow)
    bench: Any = type("Bench", (), {"objects": None, "cache": None, "environ": None})
    made = make_template(request_of("watch", settings), 0, settings, None, bench)  # type: ignore[arg-type]
    assert (asked, made["spec"]["serviceAccountName"]) == (["builder-keep"], "builder-keep")
    assert made["spec"]["ttlStrategy"]["secondsAfterSuccess"] == 3600
    finetune = replace(request_of("watch", settings), in_force="")
    assert make_template(finetune, 0, settings, None, bench)["spec"]["serviceAccountName"] == "builder-run"  # type: ignore[arg-type]


def test_only_housekeep_gets_what_its_page_reads(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.deploy.release.compile_flow", lambda *_: compiled())
    bench: Any = type("Bench", (), {"objects": None, "cache": None, "environ": None})
    deploy = replace(settings.deploy, git_secret="git", pull_secrets=("pull",))

    def secrets(flow: str, own: Settings) -> set[tuple[str, bool]]:
        made = make_template(request_of(flow, own), 0, own, None, bench)  # type: ignore[arg-type]
        steps = [part for part in made["spec"]["templates"] if part["name"] == "start"]
        values = [one["valueFrom"]["secretKeyRef"] for part in steps for one in part["container"]["env"] if "valueFrom" in one]
        mounted = [volume["secret"] for part in steps for volume in part["volumes"] if "secret" in volume]
        return {(one.get("name") or one["secretName"], one["optional"]) for one in [*values, *mounted]}

    known = replace(settings, deploy=deploy)
    assert secrets("housekeep", known) >= {("git", True), ("pull", True)}
    assert not {name for name, _ in secrets("watch", known)} & {"git", "pull"}
    assert not {name for name, _ in secrets("housekeep", settings)} & {"git", "pull"}


def test_the_account_may_remove_runs_and_templates_and_change_nothing(settings: Settings) -> None:
    roles = {one["metadata"]["name"]: one["rules"] for one in bootstrap(settings) if one["kind"] == "Role"}
    changing = {(resource, verb) for rule in roles["builder-keep"] for resource in rule["resources"] for verb in rule["verbs"]}
    changing -= {(resource, verb) for resource, verb in changing if verb in ("get", "list")}
    assert changing == {
        ("workflowtaskresults", "create"),
        ("workflowtaskresults", "patch"),
        ("workflows", "create"),
        ("workflows", "delete"),
        ("workflowtemplates", "delete"),
    }
