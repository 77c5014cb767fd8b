"""Real Metaflow compiles flows: what its code package holds, and that the same comes of it everywhere."""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.data.interface import Objects
from builder.data.open import open_root
from builder.data_files import data_path
from builder.deploy.compile import Source, Target, compile_flow, first_container
from builder.deploy.own_files import OwnFiles
from builder.errors import DeployError
from builder.launch.behind import tool_path
from builder.settings import ImageSettings, PodSettings
from builder.source.repository import Git
from tests.fixtures.metaflow_service import metaflow_service
from tests.fixtures.repositories import Repository
from tests.fixtures.servers import S3Server

pytestmark = pytest.mark.s3

OWN = b"""
import yaml, beside, inner.part  # the team's
from metaflow import FlowSpec, Parameter, kubernetes, step

assert (yaml.WHOSE, beside.WHOSE, inner.part.WHOSE) == ("team",) * 3

class Own(FlowSpec):
    alpha = Parameter("alpha", default=0.5)

    @step
    def start(self):
        self.next(self.end)

    @kubernetes(memory=2000)
    @step
    def end(self):
        pass

if __name__ == "__main__":
    Own()
"""
FILES = {
    "flows/own.py": OWN,
    "flows/beside.py": b"WHOSE = 'team'\n",
    "flows/words.txt": b"a\n",
    "flows/other.py": b"raise ImportError('nobody asked for it')\n",
    "yaml.py": b"WHOSE = 'team'\n",
    "src/inner/__init__.py": b"",
    "src/inner/part.py": b"WHOSE = 'team'\n",
    "builder/__init__.py": b"raise ImportError('builder of the team was imported')\n",
    "big.bin": b"x" * 1000,
}
IMAGE = ImageSettings(base="scratch", pythonpath=(".", "/code/src"))


@pytest.fixture(name="target")
def a_target(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return Target("team", "runner", f"s3://{s3_server.bucket}/compile/{tmp_path.name}", s3_server.endpoint, ("s3",))


@pytest.fixture(name="objects")
def the_data_root(target: Target) -> Objects:
    return open_root(target.root, Path("/"), target.endpoint)


def package(objects: Objects, target: Target, compiled: dict[str, Any]) -> dict[str, bytes]:
    """Name to content of what every step downloads."""
    url = next(variable["value"] for variable in first_container(compiled)["env"] if variable["name"] == "METAFLOW_CODE_URL")
    data = objects.get(url.removeprefix(f"{target.root}/"))
    with tarfile.open(fileobj=io.BytesIO(data or b"")) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        return {member.name: (archive.extractfile(member) or io.BytesIO()).read() for member in files}


def own_files(git: Git, pod: PodSettings | None = None, revision: str = "HEAD") -> OwnFiles:
    return OwnFiles(git, git.resolve(revision), IMAGE, "flows/own.py", pod or PodSettings())


def test_the_package_of_a_built_in_flow_is_its_file(objects: Objects, target: Target, tmp_path: Path) -> None:
    source = Source(data_path("workflows/finetune.py"), tool_path(), "[flow.finetune]")
    first = compile_flow(source, target, objects, tmp_path / "a", os.environ)
    assert first == compile_flow(source, target, objects, tmp_path / "b", {**os.environ, "METAFLOW_KUBERNETES_CPU": "99"})
    found = package(objects, target, first)
    assert found["finetune.py"] == data_path("workflows/finetune.py").read_bytes()
    assert sum(map(len, found.values())) < 8000
    assert not [name for name in found if "metaflow" in name and name.endswith(".py")]
    marker = tmp_path / "b" / next((tmp_path / "b").iterdir()).name
    marker.write_text(json.dumps({**first, "kept": True}))
    assert "kept" in compile_flow(source, target, objects, tmp_path / "b", os.environ)


@pytest.mark.parametrize("name", ["watch", "housekeep"])
def test_flows_of_one_step(objects: Objects, target: Target, tmp_path: Path, name: str) -> None:
    source = Source(data_path(f"workflows/{name}.py"), tool_path(), f"[flow.{name}]")
    found = compile_flow(source, target, objects, tmp_path / "cache", os.environ)
    assert [part["name"] for part in found["spec"]["templates"] if "container" in part] == ["start"]


def test_steps_tell_the_service_that_the_settings_name_and_no_other(objects: Objects, target: Target, tmp_path: Path) -> None:
    source = Source(data_path("workflows/finetune.py"), tool_path(), "[flow.finetune]")
    theirs = {**os.environ, "METAFLOW_SERVICE_URL": "http://theirs.test", "METAFLOW_DEFAULT_METADATA": "service"}

    def compiled(target: Target) -> tuple[dict[str, Any], str]:
        found = compile_flow(source, target, objects, tmp_path / "cache", theirs)
        container = first_container(found)
        assert "theirs.test" not in json.dumps(found)
        return {variable["name"]: variable.get("value") for variable in container["env"]}, container["command"][2]

    variables, command = compiled(target)
    assert "METAFLOW_SERVICE_URL" not in variables
    assert "--metadata=local" in command
    with metaflow_service() as service:
        variables, command = compiled(replace(target, service=service.url))
        assert (variables["METAFLOW_SERVICE_URL"], variables["METAFLOW_DEFAULT_METADATA"]) == (service.url, "service")
    assert "--metadata=service" in command


def test_a_teams_own_flow_is_compiled_on_the_teams_path(objects: Objects, target: Target, tmp_path: Path) -> None:
    repository = Repository.make(tmp_path / "team")
    repository.commit(FILES)
    with Git.open(repository.directory) as git:
        source = Source(own_files(git, PodSettings(cpu="0.5", memory="1Gi")), tool_path(), "[flow.own]")
        compiled = compile_flow(source, target, objects, tmp_path / "cache", os.environ)
    found = package(objects, target, compiled)
    assert {name for name in found if name.endswith((".py", ".txt", ".bin"))} == {"own.py"}
    asked = {part["name"]: part["container"]["resources"]["requests"] for part in compiled["spec"]["templates"] if "container" in part}
    assert (asked["start"]["cpu"], asked["start"]["memory"]) == ("0.5", "1074M")
    assert (asked["end"]["cpu"], asked["end"]["memory"]) == ("0.5", "2000M")
    assert [parameter["name"] for parameter in compiled["spec"]["arguments"]["parameters"]] == ["alpha"]
    assert not [part for part in compiled["spec"]["templates"] if "container" in part and part.get("retryStrategy")]


def test_what_is_compiled_again(tmp_path: Path) -> None:
    repository = Repository.make(tmp_path / "team")
    repository.history(FILES, {"big.bin": b"y"}, {"src/inner/part.py": b"WHOSE = 'other'\n"}, {"flows/words.txt": b"b\n"})
    with Git.open(repository.directory) as git:
        first, data, code, beside = (own_files(git, revision=f"HEAD~{back}").key for back in (3, 2, 1, 0))
        assert first == data != code != beside
        assert own_files(git).key == beside != own_files(git, PodSettings(cpu="2")).key


def test_a_flow_that_imports_what_is_not_here(objects: Objects, target: Target, tmp_path: Path) -> None:
    repository = Repository.make(tmp_path / "team")
    repository.commit({"flows/own.py": b"import a_framework_of_the_image\n" + OWN})
    with Git.open(repository.directory) as git, pytest.raises(DeployError) as error:
        compile_flow(Source(own_files(git), tool_path(), "[flow.own]"), target, objects, tmp_path / "cache", os.environ)
    assert "No module named 'a_framework_of_the_image'" in error.value.message
    assert "import the rest inside of steps" in error.value.hint
