"""This project's own .circleci/config.yml: the job that runs a team's commands on the example, step by step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import yaml

from tests.fixtures.ci_machine import only

pytestmark = [pytest.mark.docker, pytest.mark.registry]

ROOT = Path(__file__).parents[2]
NOT_HERE = {
    "pip install --quiet .": "this environment has it",
    "docker run --detach --publish 127.0.0.1:5000:5000 registry:2": "the registry of the tests stands for it",
}


def test_each_step_of_the_example(tmp_path: Path, docker_registry: str, ngc_base: str, docker_host: str) -> None:
    job = yaml.safe_load((ROOT / ".circleci/config.yml").read_text())["jobs"]["example"]
    store = f"{docker_registry}/test/{uuid.uuid4().hex[:12]}"
    environ = {**os.environ, "HOME": str(tmp_path), "BASE": ngc_base, "DOCKER_HOST": docker_host, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    first, *steps = job["steps"]
    assert first == "checkout"
    said = {}
    for step in steps:
        options = step["run"] if isinstance(step["run"], dict) else {"command": step["run"]}
        only(options, "name", "command", "working_directory")
        if options["command"] in NOT_HERE:
            continue
        command = options["command"].replace("127.0.0.1:5000/agent", store)
        where = Path(options["working_directory"].replace("~", str(tmp_path))) if "working_directory" in options else ROOT
        done = subprocess.run(["bash", "-eo", "pipefail", "-c", command], cwd=where, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        said[command] = done
    images = json.loads(said["builder image --missing -o json"].stdout)
    assert len(images) == 7
    assert images[-1]["digest"] in said["builder test"].stderr
