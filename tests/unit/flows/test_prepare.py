"""What a person asks for, checked and made ready; the interpreter; the ledger."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from builder.cli.starting import Target
from builder.data.directory import DirectoryObjects
from builder.data.ledger import Ledger, LedgerError
from builder.errors import BuilderError, DataError, SettingsError, UsageError
from builder.model.run import RunResult
from builder.model.tree import Commit
from builder.runs.interpreter import choose_interpreter
from builder.runs.launches import check_gangs, check_places, needs_environment, placed, waiting_for_nodes
from builder.runs.local import metaflow_environment
from builder.runs.places import Directories, in_the_image, on_this_machine
from builder.runs.prepare import (
    Overrides,
    Wanted,
    check_external,
    check_flow,
    choose_flow,
    chosen_evals,
    flow_file,
    make_request,
)
from builder.settings import (
    DataSettings,
    ExternalSettings,
    FlowSettings,
    ImageSettings,
    JobSetSettings,
    LaunchSettings,
    Settings,
    SlurmSettings,
)
from builder.steps.request import Request, identity
from tests.fixtures.requests import request_in

FLOW = FlowSettings(command=("python", "train.py"), evals={"click": ("c",), "type": ("t",)})
COMMIT = Commit("a" * 40, "b" * 40, (), 0, "Ada", "First")


@pytest.mark.parametrize(
    ("text", "flow", "revision"),
    [
        ("finetune", "finetune", None),
        ("finetune@HEAD~3", "finetune", "HEAD~3"),
        ("finetune@main@{yesterday}", "finetune", "main@{yesterday}"),
    ],
)
def test_a_target_is_split_at_the_first_at(text: str, flow: str, revision: str | None) -> None:
    assert Target.parse(text) == Target(flow, revision)


@pytest.mark.parametrize("text", ["@HEAD", "finetune@", "@", ""])
def test_half_a_target(text: str) -> None:
    with pytest.raises(UsageError, match="is not FLOW or FLOW@REVISION"):
        Target.parse(text)


def test_evals_is_the_flows_and_the_rest_the_configurations() -> None:
    assert Overrides.parse(["lr=1", "evals=click,type", "a.b=c=d"]) == Overrides(("lr=1", "a.b=c=d"), ("click", "type"))
    with pytest.raises(UsageError, match="'lr' is not key=value"):
        Overrides.parse(["lr"])
    for words, message in (
        (["lr=1", "lr=2"], "lr is given twice"),
        (["evals=,"], "evals=, names no action type"),
        (["evals="], "names no"),
    ):
        with pytest.raises(UsageError, match=message):
            Overrides.parse(words)


def test_what_an_evaluation_by_others_needs_is_looked_for_first() -> None:
    external = ExternalSettings(samples="data/drag", key_env="KEY")
    check_external("[it]", external, lambda path: path == "data/drag", {"KEY": "secret"})
    check_external("[it]", external, lambda _: True, None)
    with pytest.raises(SettingsError, match=r"\[it\] samples: the commit has no data/drag"):
        check_external("[it]", external, lambda _: False, None)
    with pytest.raises(UsageError, match=r"\[it\]: there is no \$KEY"):
        check_external("[it]", external, lambda _: True, {"KEY": ""})


def test_choosing_evaluations() -> None:
    assert chosen_evals("finetune", FLOW, ()) == ("click", "type")
    assert chosen_evals("finetune", FLOW, ("type", "type")) == ("type",)
    with pytest.raises(UsageError, match="evals=drag"):
        chosen_evals("finetune", FLOW, ("drag",))


@pytest.mark.parametrize(
    ("flow", "error", "message"),
    [
        (None, UsageError, r"there is no \[flow.finetune\]"),
        (replace(FLOW, command=()), SettingsError, "has no command"),
        (replace(FLOW, evals={}), SettingsError, "has no action type"),
    ],
)
def test_a_flow_that_cannot_run(flow: FlowSettings | None, error: type[BuilderError], message: str) -> None:
    with pytest.raises(error, match=message):
        choose_flow("finetune", Settings(flow={"finetune": flow} if flow else {"other": FLOW}))


def test_the_built_in_flow_is_found_by_use_else_by_name() -> None:
    assert flow_file("finetune", FLOW).name == "finetune.py"
    assert flow_file("nightly", replace(FLOW, use="finetune")).name == "finetune.py"
    with pytest.raises(SettingsError, match="no built-in flow 'nightly'"):
        flow_file("nightly", FLOW)


def test_a_request_survives_its_way(tmp_path: Path) -> None:
    image = ImageSettings(pythonpath=(".", "/code/src", "/code", "/opt/lib"), env={"SEED": "1"})
    evals = {**FLOW.evals, "partner": ExternalSettings(samples="s")}
    settings = Settings(image=image, flow={"finetune": replace(FLOW, evals=evals)}, root=tmp_path, data=DataSettings("d"))
    wanted = Wanted("finetune", COMMIT, settings, Overrides(("lr=$(touch x) `y`",)), "c.yaml", "/usr/bin/python3")
    place = on_this_machine(Directories.of(settings), "run-1", image, wanted.python)
    request = make_request(wanted, "local", "run-1", "oci:x@sha256:1", place)
    assert Request.from_json(json.loads(json.dumps(request.to_json()))) == request
    assert Request.unpack(request.pack()) == request
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", request.pack()), "a shell reads it"
    assert request.place.pythonpath == (".", "src", ".")
    assert request.data.root == str(tmp_path / "d")
    assert request.evals == ("click", "partner", "type")
    assert not (tmp_path / ".builder").exists()


def test_what_two_runs_have_in_common_is_their_identity(tmp_path: Path) -> None:
    request = request_in(tmp_path, FLOW, evals=("click",))
    same = replace(
        request, run="run-2", overrides=("lr=1",), subject="x", reference=request.reference.replace("registry.test", "other.test")
    )
    assert identity(request, "sha256:1") == identity(same, "sha256:1")
    assert identity(request, "sha256:1") != identity(request, "sha256:2")
    assert identity(request, "sha256:1") != identity(replace(request, evals=("click", "type")), "sha256:1")
    assert identity(request, "sha256:1") != identity(replace(request, settings=replace(FLOW, command=("x",))), "sha256:1")


def test_what_a_gang_of_pods_needs_is_asked_for_before_anything_runs() -> None:
    launch = {"finetune": LaunchSettings(on="jobset", jobset=JobSetSettings(queue="research"))}
    check_places(launch, "argo")
    settings = Settings(launch=launch, data=DataSettings(root="s3://bucket/team"))
    check_gangs(settings, "argo")
    check_gangs(settings, "local")
    with pytest.raises(SettingsError, match="no kubeconfig"):
        check_gangs(settings, "docker")
    with pytest.raises(SettingsError, match=r"\[data\] root is .builder/data: pods of a gang cannot reach"):
        check_gangs(Settings(launch=launch), "local")
    check_gangs(Settings(), "docker")
    assert waiting_for_nodes(launch)["finetune"].jobset.wait_for_nodes


def test_steps_are_placed_for_once() -> None:
    settings = {"finetune": LaunchSettings(timeout="1h"), "default": LaunchSettings(timeout="2h")}
    assert placed(settings, ["evaluate=here"])["evaluate"] == LaunchSettings(timeout="2h")
    with pytest.raises(UsageError, match="--place trian=here is not STEP=WHERE"):
        placed(settings, ["trian=here"])
    with pytest.raises(UsageError, match="--place finetune=moon"):
        placed(settings, ["finetune=moon"])
    with pytest.raises(SettingsError, match=r"needs \[launch.finetune.jobset\] queue"):
        check_places(placed(settings, ["finetune=jobset"]), "local")
    with pytest.raises(SettingsError, match=r"needs \[launch.finetune.slurm\] bastion and root"):
        check_places(placed(settings, ["finetune=slurm"]), "local")
    known = {"default": LaunchSettings(slurm=SlurmSettings(bastion="cluster", root="/shared"))}
    check_places(placed(known, ["finetune=slurm"]), "local")
    with pytest.raises(SettingsError, match="needs user, identity_env and host_key in a run on argo"):
        check_places(placed(known, ["finetune=slurm"]), "argo")
    odd = {"default": LaunchSettings(slurm=SlurmSettings(bastion="cluster", root="/a:b", container="pyxis"))}
    assert not needs_environment(odd)
    assert needs_environment(placed(odd, ["finetune=slurm"]))
    assert not needs_environment(placed(known, ["finetune=slurm"]))
    with pytest.raises(SettingsError, match="root = '/a:b' cannot be mounted"):
        check_places(placed(odd, ["finetune=slurm"]), "local")


def test_in_the_image_the_python_of_the_team_waits(tmp_path: Path) -> None:
    config = {"config": {"WorkingDir": "/code", "Env": ["PATH=/usr/bin", "PYTHONPATH=/code:/opt/x", "PYTHONIOENCODING=utf-8", "A=1"]}}
    place = in_the_image(config, "/builder-work/run", echo=True)
    assert (place.workdir, place.env) == ("/code", {"PYTHONPATH": "/code:/opt/x", "PYTHONIOENCODING": "utf-8"})
    with pytest.raises(BuilderError, match="no working directory"):
        in_the_image({"config": {}}, "/x", echo=True)


def test_the_interpreter_is_the_settings_then_the_active_environments_then_the_tools(tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    environ = {"VIRTUAL_ENV": str(tmp_path / "venv"), "PATH": str(python.parent)}
    assert choose_interpreter("venv/bin/python", "finetune", tmp_path, {}).path == str(python)
    assert choose_interpreter("python", "finetune", Path("/"), environ).path == str(python)
    assert choose_interpreter("", "finetune", tmp_path, environ).path == str(python)
    assert choose_interpreter("", "finetune", tmp_path, {"CONDA_PREFIX": str(tmp_path / "venv")}).path == str(python)
    assert choose_interpreter("", "finetune", tmp_path, {}).path == sys.executable
    assert choose_interpreter("", "finetune", tmp_path, {"VIRTUAL_ENV": "/gone"}).path == sys.executable
    with pytest.raises(SettingsError, match=r"\[flow.finetune\] python: there is no gone/python here"):
        choose_interpreter("gone/python", "finetune", tmp_path, environ)


def test_nobodys_metaflow_or_python_settings_reach_the_flow(tmp_path: Path) -> None:
    environ = {
        "METAFLOW_PROFILE": "prod",
        "METAFLOW_SERVICE_URL": "https://metaflow.test",
        "METAFLOW_DEFAULT_DATASTORE": "s3",
        "PYTHONPATH": "/team",
        "HOME": "/home/ada",
    }
    found = metaflow_environment(request_in(tmp_path), tmp_path, environ)
    assert found["METAFLOW_DEFAULT_DATASTORE"] == "local"
    assert found["METAFLOW_HOME"] == str(tmp_path / "home")
    assert {"METAFLOW_PROFILE", "METAFLOW_SERVICE_URL", "PYTHONPATH"}.isdisjoint(found)
    assert found["HOME"] == "/home/ada"


def test_json_has_no_nan() -> None:
    result = RunResult("r", "f", "c", "", "succeeded", loss=float("nan"), scores={"click": float("inf"), "type": 0.5})
    assert result.to_json()["loss"] is None
    assert result.to_json()["scores"] == {"click": None, "type": 0.5}


def test_a_ledger_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataError, match="cannot be written"):
        Ledger(DirectoryObjects(tmp_path / "data")).write("run-1", "run", {})
    (tmp_path / "other/ledger/run-2").mkdir(parents=True)
    (tmp_path / "other/ledger/run-2/run.json").write_text("{")
    with pytest.raises(LedgerError, match=r"run\.json cannot be read"):
        Ledger(DirectoryObjects(tmp_path / "other")).read("run-2")


def test_placeholders_are_checked_before_anything_runs() -> None:
    for flow, message in (
        (replace(FLOW, command=("python", "{confg}")), r"\[flow.x\] command: nothing is known as {confg}"),
        (replace(FLOW, command=("python", "{action}")), r"\[flow.x\] command: nothing is known as {action}"),
        (replace(FLOW, evals={"click": ("e", "{action}", "{checkpont}")}), r"\[flow.x.evals\] click: nothing is known as {checkpont}"),
    ):
        with pytest.raises(SettingsError, match=message):
            check_flow("x", replace(flow, use="finetune"), Overrides(), "")
