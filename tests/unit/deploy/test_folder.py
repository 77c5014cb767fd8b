"""Manifests in a directory: one object a file, the same every time; what others keep there is left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.deploy.folder import KUSTOMIZATION, Folder, to_yaml
from builder.deploy.gitops import watched_by
from builder.errors import DeployError


def cron(name: str = "nightly", **spec: Any) -> dict[str, Any]:
    return {"kind": "CronWorkflow", "metadata": {"name": name}, "spec": {"schedules": ["0 2 * * *"], **spec}}


def template(name: str = "finetune-1") -> dict[str, Any]:
    return {"kind": "WorkflowTemplate", "metadata": {"name": name}, "spec": {"a": 1}}


def everything(_: object) -> bool:
    return True


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def done(folder: Folder, *manifests: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(applied.kind, applied.name, applied.done) for applied in folder.write(manifests, everything)]


def test_one_object_a_file_and_a_list_of_them(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new")
    assert done(folder, template(), cron()) == [("template", "finetune-1", "created"), ("schedule", "nightly", "created")]
    files = content(tmp_path / "new")
    assert sorted(files) == ["cronworkflow-nightly.yaml", "kustomization.yaml", "workflowtemplate-finetune-1.yaml"]
    assert yaml.safe_load(files["cronworkflow-nightly.yaml"]) == cron()
    listed = yaml.safe_load(files[KUSTOMIZATION])["resources"]
    assert listed == ["workflowtemplate-finetune-1.yaml", "cronworkflow-nightly.yaml"], "kubectl creates them in this order"


def test_the_same_bytes_and_untouched_files_the_second_time(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    done(folder, template(), cron())
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    assert {what for _, _, what in done(folder, cron(), template())} == {"found"}
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before


def test_looking_writes_nothing(tmp_path: Path) -> None:
    (planned,) = Folder(tmp_path).foresee([cron()], everything)
    assert (planned.done, content(tmp_path)) == ("created", {})
    done(Folder(tmp_path), cron(), template())
    planned, gone = Folder(tmp_path).foresee([cron(timezone="UTC")], everything)
    assert planned.differences == ('spec.timezone: nothing -> "UTC"',)
    assert (gone.kind, gone.done) == ("template", "removed")


def test_what_is_ours_and_no_longer_wanted_goes(tmp_path: Path) -> None:
    done(Folder(tmp_path), template("one"), cron())
    (tmp_path / "theirs.yaml").write_text("kind: Secret\n")
    assert done(Folder(tmp_path), template("two"), cron()) == [
        ("template", "two", "created"),
        ("schedule", "nightly", "found"),
        ("template", "one", "removed"),
    ]
    assert sorted(content(tmp_path)) == ["cronworkflow-nightly.yaml", KUSTOMIZATION, "theirs.yaml", "workflowtemplate-two.yaml"]


def test_what_is_not_written_now_stays_on_the_list(tmp_path: Path) -> None:
    done(Folder(tmp_path), template("one"), cron())
    Folder(tmp_path).write([template("two")], lambda manifest: manifest["kind"] == "WorkflowTemplate")
    listed = yaml.safe_load((tmp_path / KUSTOMIZATION).read_text())["resources"]
    assert listed == ["workflowtemplate-two.yaml", "cronworkflow-nightly.yaml"]


@pytest.mark.parametrize("paused", [True, False])
def test_a_schedule_paused_in_its_file_stays_paused(tmp_path: Path, paused: bool) -> None:
    done(Folder(tmp_path), cron())
    path = tmp_path / "cronworkflow-nightly.yaml"
    path.write_text(path.read_text() + f"  suspend: {json.dumps(paused)}\n")
    assert done(Folder(tmp_path), cron()) == [("schedule", "nightly", "found")]
    done(Folder(tmp_path), cron(timezone="UTC", suspend=not paused))
    assert yaml.safe_load(path.read_text())["spec"] == {**cron()["spec"], "timezone": "UTC", "suspend": paused}


def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / KUSTOMIZATION).write_text("resources: [a.yaml]\n")
    with pytest.raises(DeployError, match="is not from `builder deploy`"):
        done(Folder(tmp_path), cron())
    assert list(content(tmp_path)) == [KUSTOMIZATION]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    done(Folder(tmp_path), cron())
    (tmp_path / "cronworkflow-nightly.yaml").write_text("a: [")
    with pytest.raises(DeployError, match=r"cronworkflow-nightly\.yaml cannot be read"):
        done(Folder(tmp_path), cron())


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeployError, match=r"cannot be (read|written)"):
        done(Folder(tmp_path / "file"), cron())


def test_text_that_yaml_would_read_otherwise() -> None:
    value = {"a": "yes", "b": "012", "c": "two\nlines\n", "d": "🙂", "e": "{{x}}", "f": "1e3", "g": "x" * 300 + " y" * 100}
    assert yaml.safe_load(to_yaml(value)) == value


# --- what others say in the list of files, and in files


def test_what_others_add_to_the_list_stays(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    done(folder, template("one"), cron())
    path, others = tmp_path / KUSTOMIZATION, ["../base", "github.com/team/more//x?ref=v1", "secret.yaml", "configmap-theirs.yaml"]
    listed = yaml.safe_load(path.read_text())
    more = {"resources": [*others, *listed["resources"]], "patches": [{"path": "patch.yaml"}], "commonAnnotations": {"owner": "Bob"}}
    path.write_text(path.read_text().splitlines()[0] + "\n" + to_yaml({**listed, **more}))
    (tmp_path / "configmap-theirs.yaml").write_text("kind: ConfigMap\n---\nkind: ConfigMap\n")
    with pytest.raises(DeployError, match=r"configmap-theirs\.yaml cannot be read"):
        done(folder, template("two"), cron())
    (tmp_path / "configmap-theirs.yaml").write_text("kind: ConfigMap\nmetadata: {name: called-otherwise}\n")
    done(folder, template("two"), cron())
    after = yaml.safe_load(path.read_text())
    assert {*others, "workflowtemplate-two.yaml", "cronworkflow-nightly.yaml"} == set(after["resources"])
    assert (after["patches"], after["commonAnnotations"]) == (more["patches"], more["commonAnnotations"])
    assert (tmp_path / "configmap-theirs.yaml").exists()


def test_a_file_elsewhere_is_none_of_ours(tmp_path: Path) -> None:
    outside = tmp_path / "cronworkflow-nightly.yaml"
    outside.write_text(to_yaml(cron()))
    folder = Folder(tmp_path / "team")
    done(folder, template())
    path = tmp_path / "team" / KUSTOMIZATION
    listed = yaml.safe_load(path.read_text())
    listed["resources"] += ["../cronworkflow-nightly.yaml", str(outside)]
    path.write_text(path.read_text().splitlines()[0] + "\n" + to_yaml(listed))
    assert done(folder) == [("template", "finetune-1", "removed")]
    assert outside.exists()


@pytest.mark.parametrize("resources", ["text", "[1]", "{a: b}", "[[a]]"])
def test_a_list_of_files_that_is_none(tmp_path: Path, resources: str) -> None:
    done(Folder(tmp_path), cron())
    path = tmp_path / KUSTOMIZATION
    path.write_text(path.read_text().splitlines()[0] + f"\nresources: {resources}\n")
    with pytest.raises(DeployError, match="resources is no list of files"):
        done(Folder(tmp_path), cron())


@pytest.mark.parametrize("text", ["[]", "text", "\x00", "a: b: c", "&a [*a]"])
def test_a_file_that_holds_no_object(tmp_path: Path, text: str) -> None:
    done(Folder(tmp_path), cron())
    (tmp_path / "cronworkflow-nightly.yaml").write_text(text)
    with pytest.raises(DeployError, match=r"cronworkflow-nightly\.yaml cannot be read"):
        done(Folder(tmp_path), cron())


def test_what_a_server_added_is_no_change(tmp_path: Path) -> None:
    """`kubectl get -o yaml` put into the directory."""
    done(Folder(tmp_path), cron())
    path = tmp_path / "cronworkflow-nightly.yaml"
    metadata = {"name": "nightly", "uid": "1", "resourceVersion": "2", "generation": 1}
    path.write_text(to_yaml({**cron(), "metadata": metadata, "status": {"active": []}}))
    before = path.read_bytes()
    assert done(Folder(tmp_path), cron()) == [("schedule", "nightly", "found")]
    assert path.read_bytes() == before


def test_a_file_that_somebody_deleted_comes_back_or_goes_from_the_list(tmp_path: Path) -> None:
    done(Folder(tmp_path), template(), cron("nightly"), cron("weekly"))
    (tmp_path / "cronworkflow-nightly.yaml").unlink()
    (tmp_path / "cronworkflow-weekly.yaml").unlink()
    assert done(Folder(tmp_path), template(), cron("nightly"))[1] == ("schedule", "nightly", "created")
    assert "cronworkflow-weekly.yaml" not in yaml.safe_load((tmp_path / KUSTOMIZATION).read_text())["resources"]


# --- what Argo CD and Flux must know


def test_templates_are_kept_and_come_first(tmp_path: Path) -> None:
    queue = {"kind": "ConfigMap", "metadata": {"name": "builder-queues"}, "data": {"tiny": "1"}}
    done(Folder(tmp_path), template(), queue, cron())
    marks = {path.name: yaml.safe_load(path.read_bytes()).get("metadata", {}).get("annotations", {}) for path in tmp_path.iterdir()}
    assert marks["workflowtemplate-finetune-1.yaml"] == {
        "argocd.argoproj.io/sync-options": "Prune=false",
        "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
        "argocd.argoproj.io/sync-wave": "-1",
        "kustomize.toolkit.fluxcd.io/prune": "disabled",
    }
    assert marks["configmap-builder-queues.yaml"] == {"argocd.argoproj.io/sync-wave": "-1"}
    assert marks["cronworkflow-nightly.yaml"] == {}, "one that is gone must go"


@pytest.mark.parametrize(
    ("marks", "name"),
    [
        ({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}, "Argo CD"),
        ({"labels": {"app.kubernetes.io/instance": "x"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}, "Flux"),
        ({"labels": {"builder/flow": "x"}, "annotations": None}, ""),
    ],
)
def test_who_looks_after_an_object(marks: dict[str, Any], name: str) -> None:
    assert watched_by({"metadata": marks}) == name
