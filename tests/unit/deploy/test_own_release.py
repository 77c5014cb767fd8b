"""A team's own flow as it goes to a cluster: on the team's path, with its own parameters, and noted in the ledger from outside."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.deploy.arguments import arguments_of
from builder.deploy.cron import cron_workflow
from builder.deploy.exit_handler import EXIT
from builder.deploy.isolate import for_own
from builder.deploy.release import release_of
from builder.deploy.render import Release, render
from builder.errors import DeployError, UsageError
from builder.settings import DataSettings, FlowSettings, LaunchSettings, NotifySettings, PodSettings, ScheduleSettings, Settings
from builder.steps.request import Place, Request
from tests.fixtures.compiled import compiled
from tests.fixtures.releases import release

OWN = FlowSettings(file="flows/own.py")
PLACE = Place("/code", "/builder-work/run", env={"PYTHONPATH": "/code:/code/src", "BUILDER_COMMIT": "a" * 40})


def own_compiled() -> dict[str, Any]:
    """With two parameters, and a step whose name Argo does not take as it is."""
    flow = compiled()
    flow["metadata"]["annotations"] = {**flow["metadata"]["annotations"], "metaflow/flow_name": "Own"}
    flow["spec"]["arguments"] = {"parameters": [{"name": "alpha", "value": "0.5"}, {"name": "word", "value": '"a b"'}]}
    flow["spec"]["templates"][2]["name"] = "work-it"
    return flow


def own_release(tmp_path: Path, **fields: Any) -> Release:
    made = release(tmp_path, OWN, **fields)
    request = replace(made.request, flow="own", place=PLACE)
    return replace(made, request=request, around=for_own("/builder-work", PLACE, OWN.file))


def own_template(tmp_path: Path, **fields: Any) -> dict[str, Any]:
    return render(own_compiled(), own_release(tmp_path, **fields))


def part(template: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(part for part in template["spec"]["templates"] if part["name"] == name)
    return found


def variables(part: dict[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in part["container"]["env"]}


def test_steps_run_on_the_teams_path_and_the_exit_handler_on_the_tools(tmp_path: Path) -> None:
    made = own_template(tmp_path)
    for name in ("start", "work-it"):
        found = variables(part(made, name))
        assert found["PYTHONPATH"] == "/opt/builder/builder/behind:/code/flows:/code:/code/src"
        assert (found["BUILDER_TOOL_PATH"], found["BUILDER_WORKDIR"]) == ("/opt/builder", "/code")
        assert "PYTHONNOUSERSITE" not in found
        assert part(made, name)["container"]["workingDir"] == "/builder-work"
    assert variables(part(made, EXIT))["PYTHONPATH"] == "/opt/builder"
    assert variables(part(made, EXIT))["BUILDER_FLOW_CLASS"] == "Own"


def test_a_flow_at_the_root_of_the_commit(tmp_path: Path) -> None:
    assert for_own("/w", PLACE, "own.py").env["PYTHONPATH"] == "/opt/builder/builder/behind:/code:/code:/code/src"


def test_each_pod_first_notes_that_its_step_begins(tmp_path: Path) -> None:
    made = own_template(tmp_path, data=DataSettings("s3://b/x", "http://s3.test"))
    shell, option, text = part(made, "work-it")["container"]["command"]
    assert (shell, option) == ("bash", "-c")
    first, _, rest = text.partition("; ")
    assert first == "PYTHONPATH=/opt/builder PYTHONNOUSERSITE=1 python -m builder.steps.begin work_it || true"
    theirs = part(own_compiled_filled(made), "work-it")["container"]["command"][2]
    assert rest.startswith(theirs.removesuffix("exit $c"))
    found = variables(part(made, "work-it"))
    assert found["BUILDER_REQUEST"] == "{{workflow.parameters.builder-request}}"
    assert (found["BUILDER_RUN"], found["BUILDER_FLOW_CLASS"]) == ("{{workflow.name}}", "Own")
    assert found["AWS_ENDPOINT_URL_S3"] == "http://s3.test"


def test_a_step_does_not_begin_without_the_files_that_its_commit_lost(tmp_path: Path) -> None:
    asked = own_release(tmp_path)
    restoring = replace(asked, request=replace(asked.request, restore=f"sha256:{'1' * 64}"))
    text = part(render(own_compiled(), restoring), "work-it")["container"]["command"][2]
    _, second, _ = text.split("; ", 2)
    assert second == "PYTHONPATH=/opt/builder PYTHONNOUSERSITE=1 python -m builder.steps.restore work_it || exit 1"
    assert "steps.restore" not in part(render(own_compiled(), asked), "work-it")["container"]["command"][2]


def own_compiled_filled(made: dict[str, Any]) -> dict[str, Any]:
    from builder.deploy.compile import IMAGE, NAME

    text = json.dumps(own_compiled())
    filled: dict[str, Any] = json.loads(
        text.replace(IMAGE, made["metadata"]["annotations"]["builder/reference"]).replace(NAME, made["metadata"]["name"])
    )
    return filled


@pytest.mark.parametrize(
    ("asked", "step", "starter", "code", "called"),
    [("", 0, 0, 0, False), ("{}", 0, 0, 0, True), ("{}", 0, 1, 1, True), ("{}", 3, 0, 3, False), ("", 3, 0, 3, False)],
)
def test_each_pod_last_starts_what_its_step_asked_for(tmp_path: Path, asked: str, step: int, starter: int, code: int, called: bool) -> None:
    """By a real shell: `python` is a script that notes how it was called."""
    container = part(own_template(tmp_path), "work-it")["container"]
    assert variables(part(own_template(tmp_path), "work-it"))["BUILDER_OUTBOX"] == "/builder-work/outbox.jsonl"
    text = container["command"][2]
    (tmp_path / "outbox.jsonl").write_text(asked)
    (tmp_path / "bin").mkdir()
    called_so = f'echo "$PWD $PYTHONPATH $*" >>{tmp_path}/calls'
    ends = f'case "$*" in *outbox*) exit {starter};; *finetune.py*) exit {step};; esac'
    script = f"#!/bin/sh\n{called_so}\n{ends}\n"
    (tmp_path / "bin/python").write_text(script)
    (tmp_path / "bin/python").chmod(0o755)
    environ = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "BUILDER_OUTBOX": f"{tmp_path}/outbox.jsonl", "METAFLOW_TASK_ID": "t-12"}
    done = subprocess.run(["bash", "-c", text], env=environ, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert ("/ /opt/builder -m builder.runs.own_outbox work_it t-12" in calls) is called


def test_what_a_step_that_starts_no_shell_is_not_noted(tmp_path: Path) -> None:
    flow = own_compiled()
    flow["spec"]["templates"][1]["container"]["command"] = ["python", "x", "y"]
    with pytest.raises(DeployError, match="step start does not start a shell"):
        render(flow, own_release(tmp_path))


def test_decorators_hold_unless_the_settings_name_the_step(tmp_path: Path) -> None:
    flow = own_compiled()
    asked = {"requests": {"cpu": "3", "memory": "5M"}}
    flow["spec"]["templates"][1]["container"]["resources"] = asked
    flow["spec"]["templates"][1]["nodeSelector"] = {"zone": "a"}
    default = PodSettings(cpu="9", node_selector={"pool": "b"}, tolerations=("spot",))
    launch = {"default": LaunchSettings(pod=default), "work_it": LaunchSettings(pod=PodSettings(cpu="7", memory="1Gi"))}
    made = render(flow, own_release(tmp_path, launch=launch))
    assert part(made, "start")["container"]["resources"] == asked
    assert part(made, "start")["nodeSelector"] == {"zone": "a"}
    assert part(made, "start")["retryStrategy"] == {"limit": "4"}
    assert part(made, "start")["tolerations"] == [{"key": "spot", "operator": "Exists"}]
    assert part(made, "work-it")["container"]["resources"]["requests"] == {"cpu": "7", "memory": "1Gi"}


def test_gangs_are_refused(tmp_path: Path) -> None:
    flow = own_compiled()
    flow["spec"]["templates"].append({"name": "gang", "resource": {"manifest": "kind: JobSet"}})
    with pytest.raises(DeployError, match="step gang is @parallel"):
        render(flow, own_release(tmp_path))


def test_the_secret_with_slacks_key_is_there(tmp_path: Path) -> None:
    made = own_template(tmp_path, notify=NotifySettings(secret="slack"))
    assert {"secretRef": {"name": "slack", "optional": True}} in part(made, EXIT)["container"]["envFrom"]


def test_the_teams_code_does_not_see_slacks_key(tmp_path: Path) -> None:
    made = own_template(tmp_path, notify=NotifySettings(secret="slack", token_env="TOKEN"))
    noted, unset, _ = part(made, "work-it")["container"]["command"][2].split("; ", 2)
    assert noted.endswith("python -m builder.steps.begin work_it || true")
    assert unset == "unset SLACK_WEBHOOK_URL TOKEN"


def test_parameters_have_defaults_and_what_a_run_says(tmp_path: Path) -> None:
    made = own_template(tmp_path)
    values = {found["name"]: found["value"] for found in made["spec"]["arguments"]["parameters"]}
    request = Request.unpack(values.pop("builder-request"))
    assert (request.run, request.settings) == ("", OWN)
    assert values == {"alpha": "0.5", "word": '"a b"'}
    asked = replace(request, run="own-1", overrides=('word=it\'s "c"',))
    values = {found["name"]: found["value"] for found in arguments_of(made, asked)["parameters"]}
    assert Request.unpack(values.pop("builder-request")).run == "own-1"
    assert values == {"alpha": "0.5", "word": json.dumps('it\'s "c"')}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("alhpa=1", "alhpa: own has no such parameter; it has alpha, word"),
        ("builder-request=1", "builder-request: own has no such parameter"),
        ("word=$HOME", "word: Metaflow hands parameters through a shell"),
        ("word=`ls`", "word: Metaflow hands parameters through a shell"),
    ],
)
def test_a_parameter_that_cannot_be(tmp_path: Path, word: str, message: str) -> None:
    request = replace(own_release(tmp_path).request, overrides=(word,))
    with pytest.raises(UsageError, match=message.replace("$", r"\$")):
        arguments_of(own_template(tmp_path), request)


def test_a_schedule_starts_it_with_its_parameters(tmp_path: Path) -> None:
    made = own_template(tmp_path)
    request = replace(own_release(tmp_path).request, overrides=("alpha=2",))
    cron = cron_workflow("nightly", ScheduleSettings(cron="0 2 * * *"), made, request)
    values = {found["name"]: found["value"] for found in cron["spec"]["workflowSpec"]["arguments"]["parameters"]}
    assert (values["alpha"], values["word"], Request.unpack(values["builder-request"]).overrides) == ('"2"', '"a b"', ("alpha=2",))


def test_surroundings_by_the_kind_of_flow(tmp_path: Path) -> None:
    request = own_release(tmp_path).request
    settings = Settings(data=DataSettings("s3://bucket/x"))
    assert "BUILDER_TOOL_PATH" in release_of(request, 0, settings).around.env
    assert "BUILDER_TOOL_PATH" not in release_of(replace(request, settings=FlowSettings()), 0, settings).around.env
