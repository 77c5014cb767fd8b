"""What a person asks for, checked and made ready; the interpreter; the ledger."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from builder.cli.run import Target
from builder.data.directory import DirectoryObjects
from builder.data.ledger import Ledger, LedgerError
from builder.errors import BuilderError, DataError, SettingsError, UsageError
from builder.model.run import Place, Request, RunResult
from builder.model.tree import Commit
from builder.runs.interpreter import choose_interpreter
from builder.runs.local import metaflow_environment
from builder.runs.prepare import Directories, Overrides, Wanted, choose_flow, chosen_evals, flow_file, make_request
from builder.settings import DataSettings, FlowSettings, ImageSettings, Settings
from builder.steps.record import recorded

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


def test_choosing_evaluations() -> None:
    assert chosen_evals("finetune", FLOW, ()) == {"click": ("c",), "type": ("t",)}
    assert chosen_evals("finetune", FLOW, ("type",)) == {"type": ("t",)}
    with pytest.raises(UsageError, match="evals=drag"):
        chosen_evals("finetune", FLOW, ("drag",))


@pytest.mark.parametrize(
    ("flow", "error", "message"),
    [
        (None, UsageError, r"there is no \[flow.finetune\]"),
        (replace(FLOW, command=()), SettingsError, "has no command"),
        (replace(FLOW, evals={}), SettingsError, "has no action type"),
        (replace(FLOW, file="flows/x.py"), SettingsError, "cannot be run yet"),
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


def test_a_request_survives_json(tmp_path: Path) -> None:
    image = ImageSettings(pythonpath=(".", "/code/src", "/code", "/opt/lib"), env={"SEED": "1"})
    settings = Settings(image=image, flow={"finetune": FLOW}, root=tmp_path)
    wanted = Wanted("finetune", COMMIT, settings, Overrides(("lr=1",)), "c.yaml", "/usr/bin/python3")
    request = make_request(wanted, "oci:x@sha256:1", Directories.of(settings))
    assert Request.from_json(json.loads(json.dumps(request.to_json()))) == request
    assert request.place.pythonpath == (".", "src", ".")
    assert request.run.startswith("finetune-aaaaaaa-")
    assert not (tmp_path / ".builder").exists()


def test_a_data_root_elsewhere_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BuilderError, match="s3://bucket"):
        Directories.of(Settings(data=DataSettings(root="s3://bucket/x"), root=tmp_path))


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
    environ = {"METAFLOW_PROFILE": "prod", "METAFLOW_DEFAULT_DATASTORE": "s3", "PYTHONPATH": "/team", "HOME": "/home/ada"}
    found = metaflow_environment(tmp_path, environ)
    assert found["METAFLOW_DEFAULT_DATASTORE"] == "local"
    assert found["METAFLOW_HOME"] == str(tmp_path / "home")
    assert {"METAFLOW_PROFILE", "PYTHONPATH"}.isdisjoint(found)
    assert found["HOME"] == "/home/ada"


def test_json_has_no_nan() -> None:
    result = RunResult("r", "f", "c", "", "succeeded", loss=float("nan"), scores={"click": float("inf"), "type": 0.5})
    assert result.to_json()["loss"] is None
    assert result.to_json()["scores"] == {"click": None, "type": 0.5}


def request_in(tmp_path: Path) -> Request:
    return Request("run-1", "finetune", "a" * 40, "", (), {}, Place(str(tmp_path), str(tmp_path), str(tmp_path / "data")))


def test_a_step_is_recorded_from_its_start_to_its_end(tmp_path: Path) -> None:
    ledger = Ledger(DirectoryObjects(tmp_path / "data"))
    with recorded(request_in(tmp_path), "finetune", tmp_path / "log") as record:
        assert ledger.read("run-1")["finetune"]["state"] == "running"
        record["loss"] = 0.5
    found = ledger.read("run-1")["finetune"]
    assert (found["schema"], found["run"], found["step"]) == (1, "run-1", "finetune")
    assert (found["state"], found["loss"], found["log"]) == ("succeeded", 0.5, str(tmp_path / "log"))
    assert [path.name for path in (tmp_path / "data/ledger/run-1").iterdir()] == ["finetune.json"]


@pytest.mark.parametrize(
    ("error", "message"), [(BuilderError("it broke", "mend it"), "it broke"), (ZeroDivisionError("x"), "ZeroDivisionError: x")]
)
def test_a_step_that_fails_is_recorded_and_its_error_goes_on(tmp_path: Path, error: Exception, message: str) -> None:
    with pytest.raises(type(error)), recorded(request_in(tmp_path), "finetune"):
        raise error
    found = Ledger(DirectoryObjects(tmp_path / "data")).read("run-1")["finetune"]
    assert (found["state"], found["error"]) == ("failed", message)


def test_a_ledger_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataError, match="cannot be written"):
        Ledger(DirectoryObjects(tmp_path / "data")).write("run-1", "run", {})
    (tmp_path / "other/ledger/run-2").mkdir(parents=True)
    (tmp_path / "other/ledger/run-2/run.json").write_text("{")
    with pytest.raises(LedgerError, match=r"run\.json cannot be read"):
        Ledger(DirectoryObjects(tmp_path / "other")).read("run-2")
