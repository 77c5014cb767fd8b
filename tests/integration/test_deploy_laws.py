"""Compiling for real: two machines make the same template, and its code package holds the flow file alone."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.data.interface import Objects
from builder.data.open import open_root
from builder.data_files import data_path
from builder.deploy.compile import Source, Target, compile_flow, first_container
from builder.deploy.isolate import images
from builder.errors import DeployError
from builder.launch.behind import tool_path
from tests.fixtures.servers import S3Server

pytestmark = pytest.mark.s3

COMPILE = """
import json, os, sys
from pathlib import Path
from builder.data.open import open_root
from builder.deploy.compile import Source, Target, compile_flow
told = json.load(sys.stdin)
target = Target(**told["target"])
os.umask(told["umask"])
source = Source(Path(told["file"]), tuple(told["path"]), "[flow.x]")
objects = open_root(target.root, Path("/"), target.endpoint)
print(json.dumps(compile_flow(source, target, objects, Path(told["cache"]), os.environ)))
"""


@pytest.fixture
def target(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    root = f"s3://{s3_server.bucket}/{uuid.uuid4().hex}"
    yield Target("team", "builder-run", root, s3_server.endpoint, ("s3",))
    objects = open_root(root, Path("/"), s3_server.endpoint)
    objects.delete([found.key for found in objects.list()])


@pytest.fixture
def objects(target: Target) -> Objects:
    return open_root(target.root, Path("/"), target.endpoint)


def source(file: Path | None = None) -> Source:
    return Source(file or data_path("workflows/finetune.py"), tool_path(), "[flow.finetune]")


def package_key(compiled: dict[str, Any], target: Target) -> str:
    (url,) = (one["value"] for one in first_container(compiled)["env"] if one["name"] == "METAFLOW_CODE_URL")
    return str(url).removeprefix(f"{target.root}/")


def elsewhere(directory: Path, target: Target, umask: int, **environ: str) -> dict[str, Any]:
    """The template as another person's machine makes it."""
    (directory / "home").mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "init", "-q"], cwd=directory, check=True)
    file = directory / "finetune.py"
    file.write_bytes(data_path("workflows/finetune.py").read_bytes())
    names = ("namespace", "account", "root", "endpoint", "secrets", "service")
    told = {"target": {name: getattr(target, name) for name in names}, "umask": umask, "file": str(file), "path": tool_path()}
    told["cache"] = str(directory / "cache")
    env = {**os.environ, "HOME": str(directory / "home"), "PYTHONPATH": os.pathsep.join(tool_path()), **environ}
    done = subprocess.run([sys.executable, "-c", COMPILE], input=json.dumps(told), cwd=directory, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_two_machines_make_the_same(tmp_path: Path, target: Target) -> None:
    config = tmp_path / "b" / "home" / ".metaflowconfig"
    config.mkdir(parents=True)
    (config / "config.json").write_text(json.dumps({"METAFLOW_KUBERNETES_NAMESPACE": "other", "METAFLOW_SERVICE_URL": "http://other"}))
    hostile = {"USER": "ada", "LOGNAME": "ada", "METAFLOW_USER": "ada", "METAFLOW_DATASTORE_SYSROOT_S3": "s3://other/x"}
    hostile |= {"METAFLOW_KUBERNETES_CONTAINER_IMAGE": "python:3", "METAFLOW_DEFAULT_METADATA": "service"}
    hostile |= {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7"}
    first = elsewhere(tmp_path / "a", target, 0o022, USER="bob", LOGNAME="bob")
    second = elsewhere(tmp_path / "b", target, 0o077, **hostile)
    assert json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)


def test_the_code_package_holds_the_flow_file_alone(tmp_path: Path, target: Target, objects: Objects) -> None:
    compiled = compile_flow(source(), target, objects, tmp_path, os.environ)
    data = objects.get(package_key(compiled, target))
    assert data is not None
    assert len(data) < 2500
    with tarfile.open(fileobj=io.BytesIO(data)) as package:
        names = package.getnames()
    assert [name for name in names if name.endswith(".py")] == ["finetune.py"]
    assert len(names) <= 6


def test_what_is_compiled_has_placeholders_alone(tmp_path: Path, target: Target, objects: Objects) -> None:
    compiled = compile_flow(source(), target, objects, tmp_path, os.environ)
    assert {image for _, image in images(compiled)} == {"builder.invalid/image-placeholder"}
    text = json.dumps(compiled)
    assert target.root in text
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in text
    assert "error-msg-capture-hook" not in text


def test_it_is_compiled_once_until_its_package_is_gone(
    tmp_path: Path, target: Target, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = compile_flow(source(), target, objects, tmp_path, os.environ)
    with monkeypatch.context() as patched:
        patched.setattr("builder.deploy.compile._run", lambda *_: pytest.fail("compiled again"))
        assert compile_flow(source(), target, objects, tmp_path, os.environ) == compiled
    objects.delete([package_key(compiled, target)])
    assert compile_flow(source(), target, objects, tmp_path, os.environ) == compiled
    assert objects.find(package_key(compiled, target)) is not None


def test_a_flow_that_metaflow_refuses(tmp_path: Path, target: Target, objects: Objects) -> None:
    file = tmp_path / "broken.py"
    step = "    @step\n    def start(self):\n        self.next(self.missing)\n"
    file.write_text(f"from metaflow import FlowSpec, step\n\n\nclass B(FlowSpec):\n{step}\n\nB()\n")
    with pytest.raises(DeployError, match=r"\[flow\.finetune\] cannot be compiled for Argo; Metaflow says:\n"):
        compile_flow(source(file), target, objects, tmp_path, os.environ)
