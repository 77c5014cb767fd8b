"""Manifests in a directory: one object a file, the same every time; what others keep there is left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.deploy.folder import KUSTOMIZATION, Folder, to_yaml
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
