"""`builder doctor` about the cluster: each thing broken in turn is named, and nothing is asked where runs stay on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.deploy.bootstrap import apply_bootstrap, bootstrap
from builder.doctor import CHECKS, Scene, cluster, deep, examine, metaflow
from builder.doctor.scene import Found
from builder.errors import AuthError, DataError
from builder.settings import DataSettings, DeploySettings, DepsSettings, ImageSettings, RunSettings, Settings, load
from builder.steps import probe
from tests.fixtures.memory_cluster import MemoryCluster

SETTINGS = Settings(
    run=RunSettings("argo"), data=DataSettings("s3://bucket/team", "http://s3.test"), deploy=DeploySettings("team", secrets=("s3",))
)
LOOKS = [check.look for check in CHECKS if check.group == "The cluster"]


@pytest.fixture
def there() -> MemoryCluster:
    """A namespace that was made ready."""
    made = MemoryCluster("team")
    list(apply_bootstrap(made, bootstrap(SETTINGS)))
    return made


@pytest.fixture
def scene(tmp_path: Path, there: MemoryCluster) -> Scene:
    return Scene(tmp_path, {"HOME": str(tmp_path)}, replace(SETTINGS, root=tmp_path), pytest.fail, open_cluster=lambda: there)


def add_pod(there: MemoryCluster, name: str, log: bytes | None, made: str = "2024-01-01T00:00:00Z", run: str = "run-1") -> None:
    there.create({"kind": "Pod", "metadata": {"name": name, "labels": {"workflows.argoproj.io/workflow": run}}})
    there.objects["pods", name]["metadata"]["creationTimestamp"] = made
    if log is not None:
        there.logs[name, "wait"] = log


@pytest.mark.parametrize("look", LOOKS)
def test_nothing_is_asked_where_runs_stay_here(tmp_path: Path, look: Callable[[Scene], Found]) -> None:
    settings = Settings(root=tmp_path, origin={"deploy": "default"})
    scene = Scene(tmp_path, {}, settings, pytest.fail, open_cluster=lambda: pytest.fail("asked"))
    assert look(scene).state == "-"
    assert "runs are on this machine unless --on says otherwise" in look(scene).detail


@pytest.mark.parametrize("look", LOOKS)
def test_a_schedule_is_no_run_of_this_machine(tmp_path: Path, look: Callable[[Scene], Found]) -> None:
    """Which cluster it is for, nothing says: a person without one can do all else."""
    (tmp_path / "builder.toml").write_text('[schedule.nightly]\nflow = "finetune"\ncron = "0 2 * * *"\n[data]\nroot = "s3://bucket/team"\n')
    scene = Scene(tmp_path, {}, load(tmp_path, {}), pytest.fail, open_cluster=lambda: pytest.fail("asked"))
    found = look(scene)
    assert (found.state, "this machine" in found.detail) == ("-", False)
    assert "[schedule.nightly] runs in a cluster alone: write namespace into [deploy]" in found.detail


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [(Settings(), False), (Settings(run=RunSettings("argo")), True), (Settings(origin={"deploy": "builder.toml in force"}), True)],
)
def test_when_a_cluster_is_needed(tmp_path: Path, settings: Settings, wanted: bool) -> None:
    assert cluster.needed(Scene(tmp_path, {}, settings, pytest.fail)) is wanted


def test_all_is_well(scene: Scene) -> None:
    reports = list(examine([check for check in CHECKS if check.group == "The cluster"], scene))
    assert {report.check.name: report.found.state for report in reports} == {
        "cluster": "ok",
        "argo": "ok",
        "rights": "ok",
        "accounts": "failed",  # the secret
        "pods": "-",
        "metaflow": "ok",
        "its settings": "ok",
    }


def test_no_cluster_at_all(tmp_path: Path) -> None:
    (report,) = examine([check for check in CHECKS if check.name == "cluster"], Scene(tmp_path, {}, SETTINGS, pytest.fail))
    assert (report.found.state, report.found.remedy) == ("failed", "set KUBECONFIG")


@pytest.mark.parametrize(
    ("log", "state", "said"),
    [
        (b'time="x" level=info msg="Starting Workflow Executor" version=v3.7.3+unknown\n', "ok", "Argo Workflows 3.7.3"),
        (b'time=2026 level=INFO msg="Starting Workflow Executor" argo=true version=v4.0.1', "ok", "Argo Workflows 4.0.1"),
        (b'msg="Starting Workflow Executor" version=v3.5.10\n', "failed", "Argo Workflows 3.5.10"),
        (b"something else\n", "ok", "installed; version unknown until the pod of a run is here to tell (--deep makes one)"),
        (None, "ok", "installed; version unknown until the pod of a run is here to tell (--deep makes one)"),
    ],
)
def test_which_argo(scene: Scene, there: MemoryCluster, log: bytes | None, state: str, said: str) -> None:
    add_pod(there, "a", log)
    found = cluster.argo(scene)
    assert (found.state, found.detail) == (state, said)
    assert bool(found.remedy) == (state == "failed")


def test_the_newest_pod_with_a_log_counts(scene: Scene, there: MemoryCluster) -> None:
    add_pod(there, "old", b"Starting Workflow Executor version=v3.6.0")
    add_pod(there, "new", b"Starting Workflow Executor version=v3.7.0", "2024-02-01T00:00:00Z")
    add_pod(there, "waiting", None, "2024-03-01T00:00:00Z")
    assert cluster.argo(scene).detail == "Argo Workflows 3.7.0"


def test_what_this_account_may_not(scene: Scene, there: MemoryCluster) -> None:
    there.denied = {("patch", "cronworkflows"), ("get", "pods/log")}
    found = cluster.rights(scene)
    assert (found.state, found.detail) == ("failed", "this account may not get pods/log, patch cronworkflows")


def test_accounts_and_secrets(scene: Scene, there: MemoryCluster) -> None:
    assert cluster.accounts(scene).detail == "no secret s3 in team"
    there.denied = {("get", "secrets")}
    assert cluster.accounts(scene) == Found("ok", "builder-run is there; whether s3 is, this account may not see: --deep tries")
    there.denied = set()
    there.create({"kind": "Secret", "metadata": {"name": "s3"}})
    assert cluster.accounts(scene).state == "ok"
    there.delete("serviceaccounts", "builder-start")
    assert cluster.accounts(scene).detail == "no service account builder-start in team"


# --- a pod


def ending(there: MemoryCluster, phase: str, *, log: str = "", message: str = "") -> None:
    """The workflow ends so as soon as it is looked at."""

    def fault(verb: str, kind: str, name: str) -> None:
        if (verb, kind) == ("get", "workflows"):
            nodes = {"n": {"message": message}} if message else {}
            there.objects[kind, name]["status"] = {"phase": phase, "nodes": nodes}
            if log and ("pods", f"{name}-p") not in there.objects:
                add_pod(there, f"{name}-p", b"Starting Workflow Executor version=v3.7.3", run=name)
                there.logs[f"{name}-p", "main"] = log.encode()

    there.fault = fault


def tried(there: MemoryCluster, limit: float = 60) -> Found:
    found = deep.try_pod(there, SETTINGS, "registry.test/x@sha256:1", limit)
    assert not list(there.list("workflows")), "it is taken away again"
    return found


def test_a_pod_that_works(there: MemoryCluster) -> None:
    ending(there, "Succeeded", log='all is well\ntime="x" level=info argo=true\n')
    assert tried(there) == Found("ok", "a pod pulled the image; all is well; Argo Workflows 3.7.3")


def test_a_pod_that_cannot_write(there: MemoryCluster) -> None:
    ending(there, "Failed", log="s3://bucket: access denied", message="Error (exit code 1)")
    found = tried(there)
    assert (found.state, found.detail) == ("failed", "s3://bucket: access denied; Argo Workflows 3.7.3")


def test_a_pod_that_never_starts(there: MemoryCluster) -> None:
    ending(there, "Pending", message="ErrImagePull: not found")
    assert tried(there, 0).detail == "not done in 0 s: ErrImagePull: not found"
    ending(there, "Pending")
    assert tried(there, 0).detail == "not done in 0 s: no reason is known"


def test_a_server_that_goes_away_meanwhile(there: MemoryCluster) -> None:
    def fault(verb: str, kind: str, name: str) -> None:
        if verb == "get":
            raise AuthError("who are you")

    there.fault = fault
    with pytest.raises(AuthError):
        deep.try_pod(there, SETTINGS, "registry.test/x@sha256:1")
    assert not list(there.list("workflows"))


def test_the_pod_is_one_of_steps(there: MemoryCluster) -> None:
    settings = replace(SETTINGS, deploy=replace(SETTINGS.deploy, pull_secrets=("pull",)))
    spec = deep.probing("x", "team", settings, "registry.test/x@sha256:1")["spec"]
    assert (spec["serviceAccountName"], spec["activeDeadlineSeconds"]) == ("builder-run", 60)
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    (template,) = spec["templates"]
    assert template["container"]["envFrom"] == [{"secretRef": {"name": "s3"}}]
    assert template["container"]["image"] == "registry.test/x@sha256:1"
    assert {"name": "PYTHONPATH", "value": "/opt/builder"} in template["container"]["env"]
    assert template["container"]["command"][2:] == ["builder.steps.probe", "s3://bucket/team", "http://s3.test", "doctor/x"]


def test_the_probe_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main([str(tmp_path), "", "doctor/x"]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path} can be written and read; Metaflow 2.")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_probe_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(*_: object) -> Any:
        raise DataError("s3://bucket: no such bucket", "make it")

    monkeypatch.setattr(probe, "open_root", refuse)
    assert probe.main(["s3://bucket", "", "doctor/x"]) == 1
    assert capsys.readouterr().out == "s3://bucket: no such bucket; make it\n"


# --- Metaflow


def test_versions_of_metaflow(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metaflow, "locked_version", lambda _: "2.19.1")
    monkeypatch.setattr(metaflow, "version", lambda _: "2.19.1")
    assert metaflow.versions(scene) == Found("ok", "2.19.1 compiles and runs")
    monkeypatch.setattr(metaflow, "version", lambda _: "2.20.0")
    assert metaflow.versions(scene) == Found("ok", "2.20.0 compiles, 2.19.1 runs in images")
    monkeypatch.setattr(metaflow, "version", lambda _: "3.0")
    assert metaflow.versions(scene).state == "failed"


def test_the_commits_own_metaflow(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metaflow, "locked_version", lambda _: "2.19.1")
    monkeypatch.setattr(metaflow, "version", lambda _: "2.19.1")
    (scene.start / "lock").write_text("boto3==1.0\nmetaflow==2.15.3 \\\n    --hash=sha256:0\n")
    with_lock = replace(scene, settings=replace(scene.settings, image=ImageSettings(deps=DepsSettings(lock="lock"))))
    assert metaflow.versions(with_lock).detail == "2.19.1 compiles and runs; the team's own flows run on their 2.15.3"


def test_a_configuration_that_says_otherwise_is_named(scene: Scene) -> None:
    folder = scene.start / ".metaflowconfig"
    folder.mkdir()
    said = {"METAFLOW_KUBERNETES_NAMESPACE": "other", "METAFLOW_DEFAULT_DATASTORE": "s3", "METAFLOW_SERVICE_AUTH_KEY": "secret"}
    (folder / "config.json").write_text(json.dumps(said))
    environ = {**scene.environ, "METAFLOW_DATASTORE_SYSROOT_S3": "s3://elsewhere"}
    found = metaflow.configuration(replace(scene, environ=environ))
    names = f"METAFLOW_DATASTORE_SYSROOT_S3 of the environment, METAFLOW_KUBERNETES_NAMESPACE of {folder / 'config.json'}"
    assert found == Found("ok", f"ignored, as the settings say otherwise: {names}")
    assert (
        metaflow.configuration(replace(scene, environ={**scene.environ, "METAFLOW_PROFILE": "x"})).detail
        == "nothing of yours says otherwise"
    )
