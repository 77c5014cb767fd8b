"""The template of what starts runs at other revisions: whose rights and secrets it has, and which settings."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builder.cli.elsewhere import command_line
from builder.data.ledger import RUN
from builder.deploy.starter import starter_template, starter_workflow
from builder.settings import DataSettings, DeploySettings, FlowSettings, Settings, StoreSettings, load
from builder.steps.request import Origin, Request, Start
from builder.steps.root import ledger_of
from tests.fixtures.repositories import Repository
from tests.fixtures.requests import request_in

DEPLOY = DeploySettings(namespace="team", context="mine", git_secret="git", secrets=("s3",), pull_secrets=("pull",))
STORE = StoreSettings(push="127.0.0.1:5000/team", pull="registry.test/team", insecure=True)
SETTINGS = Settings(
    deploy=DEPLOY, store=STORE, data=DataSettings("s3://bucket/team", "http://s3.test"), flow={"f": FlowSettings(command=("x",))}
)


def template(tmp_path: Path, settings: Settings = SETTINGS) -> dict[str, Any]:
    found = starter_template(request_in(tmp_path, data=settings.data), settings, "/work")
    assert found is not None
    return found


def container(found: dict[str, Any], name: str) -> dict[str, Any]:
    (part,) = [part for part in found["spec"]["templates"] if part["name"] == name]
    return dict(part["container"])


def variables(found: dict[str, Any], name: str) -> dict[str, Any]:
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container(found, name)["env"]}


def test_without_a_secret_there_is_none(tmp_path: Path) -> None:
    assert starter_template(request_in(tmp_path), Settings(), "/work") is None


def test_it_alone_has_the_account_and_the_secret(tmp_path: Path) -> None:
    found = template(tmp_path)
    assert found["spec"]["serviceAccountName"] == "builder-start"
    assert {part["serviceAccountName"] for part in found["spec"]["templates"]} == {"builder-start"}
    given = variables(found, "start")
    assert given["BUILDER_GIT_URL"] == {"secretKeyRef": {"name": "git", "key": "url", "optional": False}}
    assert given["BUILDER_GIT_TOKEN"] == {"secretKeyRef": {"name": "git", "key": "token", "optional": True}}
    assert "secretKeyRef" not in json.dumps(container(found, "ended"))
    assert container(found, "start")["envFrom"] == [{"secretRef": {"name": "s3"}}]


def test_it_runs_the_commits_image_on_the_tools_path(tmp_path: Path) -> None:
    found = template(tmp_path)
    request = request_in(tmp_path)
    assert {part["container"]["image"] for part in found["spec"]["templates"]} == {request.reference}
    assert variables(found, "start")["PYTHONPATH"] == "/opt/builder"
    assert container(found, "start")["workingDir"] == "/work"


def test_the_settings_in_force_travel(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    text = base64.b64decode(variables(template(tmp_path), "start")["BUILDER_SETTINGS"])
    (tmp_path / "inside/builder.toml").write_bytes(text)
    inside = load(tmp_path / "inside", {})
    assert inside.store == StoreSettings(to="registry.test/team", insecure=True), "a pod knows it as nodes do"
    assert inside.deploy.context == "", "a pod has its own cluster"
    assert (inside.data, inside.flow, inside.deploy.git_secret) == (SETTINGS.data, SETTINGS.flow, "git")


def test_its_name_says_what_it_holds(tmp_path: Path) -> None:
    name = template(tmp_path)["metadata"]["name"]
    assert name.startswith("builder-start-aaaaaaaaaaaa-")
    assert len(name) <= 45
    assert template(tmp_path)["metadata"]["name"] == name
    other = Settings(deploy=DEPLOY, store=STORE, data=SETTINGS.data)
    assert template(tmp_path, other)["metadata"]["name"] != name


def test_one_workflow_for_each_run(tmp_path: Path) -> None:
    start = Start("finetune-from-0123456789", "finetune", Origin())
    found = starter_workflow(template(tmp_path), start.run, start.pack(), fresh=False)
    assert found["metadata"]["name"] == "start-finetune-from-0123456789"
    assert "builder/flow" not in found["metadata"]["labels"], "it is no run of a flow"
    fresh = starter_workflow(template(tmp_path), start.run, start.pack(), fresh=True)
    assert fresh["spec"]["entrypoint"] == "start"
    assert fresh["spec"]["arguments"] == found["spec"]["arguments"]


def test_what_it_types(tmp_path: Path) -> None:
    start = Start("r", "finetune", Origin(), "main~2", ("lr=1",), ("click",))
    words = command_line(start, "a" * 40, tmp_path)
    assert words[:4] == ["run", "--on", "argo", "--detach"]
    assert words[-3:] == ["finetune@main~2", "lr=1", "evals=click"]
    assert words[words.index("--repo") + 1] == str(tmp_path / "repository.git")


# --- the pod --------------------------------------------------------------------------------------------------------------------------


def pod(tmp_path: Path, request: Request, url: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`python -m builder.cli.elsewhere` in an empty directory, as the template has it."""
    work = tmp_path / "work"
    work.mkdir()
    settings = f'[data]\nroot = "{request.data.root}"\n[image]\nbase = "scratch"\n'
    start = Start("child", "finetune", Origin(parent="run-1", depth=1), "main", where="run-1: line 1")
    told = {"BUILDER_START": start.pack(), "BUILDER_COMMIT": "a" * 40, "BUILDER_SETTINGS": base64.b64encode(settings.encode()).decode()}
    known = {"PATH": os.environ["PATH"], "HOME": str(work), "PYTHONPATH": str(Path(__file__).parents[3]), "BUILDER_GIT_URL": url}
    argv = [sys.executable, "-m", "builder.cli.elsewhere"]
    return subprocess.run(argv, cwd=work, env={**known, **told, **environ}, capture_output=True, text=True, timeout=60)


def record(request: Request) -> dict[str, Any]:
    return ledger_of(request).read("child").get(RUN, {})


def test_a_repository_that_cannot_be_cloned(tmp_path: Path) -> None:
    request = request_in(tmp_path)
    done = pod(tmp_path, request, str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert (record(request)["state"], record(request)["origin"]["parent"]) == ("failed", "run-1")
    assert "nowhere cannot be cloned" in record(request)["error"]


def test_an_image_without_git(tmp_path: Path) -> None:
    request = request_in(tmp_path)
    assert pod(tmp_path, request, "https://git.test/x.git", PATH=str(tmp_path)).returncode == 1
    assert record(request)["error"] == "the image of this commit has no git"
    assert "base or the dependencies" in record(request)["hint"]


def test_the_clone_is_run_from_as_anybody_would(tmp_path: Path) -> None:
    """With the settings that came along: the repository's own [flow.finetune] is there, and the data root is no place for pods."""
    request = request_in(tmp_path)
    origin = Repository.make(tmp_path / "origin", "--bare")
    flow = b'[flow.finetune]\ncommand = ["true"]\n[flow.finetune.evals]\nclick = ["true"]\n'
    origin.commit({"builder.toml": flow})
    done = pod(tmp_path, request, str(origin.directory))
    assert done.returncode == 2
    assert "pods cannot reach" in record(request)["error"], done.stderr


@pytest.mark.parametrize(("status", "state"), [("Succeeded", ""), ("Failed", "failed")])
def test_a_starter_that_died_says_so(tmp_path: Path, status: str, state: str) -> None:
    request = request_in(tmp_path)
    assert pod(tmp_path, request, "", BUILDER_STATUS=status).returncode == 0
    assert record(request).get("state", "") == state


def test_a_run_that_has_begun_is_its_own_witness(tmp_path: Path) -> None:
    request = request_in(tmp_path)
    ledger_of(request).write("child", RUN, {"state": "submitted", "flow": "finetune"})
    pod(tmp_path, request, "", BUILDER_STATUS="Failed")
    assert record(request)["state"] == "submitted"
