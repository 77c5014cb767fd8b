"""What a Docker engine is asked for, where the engine of the tests cannot show it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from builder.data import s3_environment as s3
from builder.errors import AuthError
from builder.runs.docker import container_of, environment
from builder.runs.execute import Execution
from builder.settings import DataSettings, DockerSettings, FlowSettings, NotifySettings
from tests.fixtures.requests import request_in


def execution(tmp_path: Path, docker: DockerSettings | None = None, **fields: Any) -> Execution:
    request = request_in(tmp_path, fields.pop("settings", None), on="docker", **fields)
    return Execution(request, "/tool/workflows/finetune.py", str(tmp_path / ".builder"), str(tmp_path), "image", docker or DockerSettings())


def test_gpus_shared_memory_and_network(tmp_path: Path) -> None:
    plain = container_of(execution(tmp_path), {}, {})
    assert plain.keys().isdisjoint({"device_requests", "shm_size", "network_mode", "userns_mode"})
    asked = container_of(execution(tmp_path, DockerSettings(network="host", gpus="all", shared_memory="16g")), {}, {})
    assert (asked["network_mode"], asked["shm_size"], asked["device_requests"][0]["Count"]) == ("host", "16g", -1)
    assert container_of(execution(tmp_path, DockerSettings(gpus="2")), {}, {})["device_requests"][0]["Count"] == 2


def test_the_engines_own_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root, an engine's root is the person; where it maps users, ours are asked for."""
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(os, "getgid", lambda: 1001)
    words = container_of(execution(tmp_path), {"SecurityOptions": ["name=seccomp"]}, {})["entrypoint"]
    assert words[:3] == ["setpriv", "--reuid=1000", "--regid=1001"]
    assert words[words.index("--") + 1] == "python"
    rootless = container_of(execution(tmp_path), {"SecurityOptions": ["name=seccomp", "name=rootless"]}, {})
    assert rootless["entrypoint"][0] == "python"
    assert container_of(execution(tmp_path), {"SecurityOptions": ["name=userns"]}, {})["userns_mode"] == "host"


def test_what_of_the_shell_goes_along(tmp_path: Path) -> None:
    shell = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION", "HOOK", "HF_TOKEN", "OTHER", "PYTHONHOME"), "given")
    notify = NotifySettings(webhook_env="HOOK")
    here = environment(execution(tmp_path, notify=notify), shell)
    assert {name for name, value in here.items() if value == "given"} == {"HOOK"}
    s3_root = {"data": DataSettings("s3://bucket/team"), "notify": notify}
    there = environment(execution(tmp_path, DockerSettings(env=("HF_TOKEN",)), **s3_root), shell)
    assert {name for name, value in there.items() if value == "given"} == {"HOOK", "HF_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_REGION"}


def test_mounts(tmp_path: Path) -> None:
    def mounted(one: Execution) -> set[str]:
        mounts = container_of(one, {}, {"AWS_ACCESS_KEY_ID": "x"})["mounts"]
        assert all(mount["Source"] == mount["Target"] for mount in mounts)
        return {mount["Source"] for mount in mounts}

    ours = {str(tmp_path / "out"), str(tmp_path / ".builder/metaflow")}
    assert mounted(execution(tmp_path)) == ours | {str(tmp_path / "data")}
    assert mounted(execution(tmp_path, data=DataSettings("s3://bucket/team"))) == ours


def test_a_teams_own_flow_runs_in_its_tree_with_the_tool_behind(tmp_path: Path) -> None:
    one = execution(tmp_path, settings=FlowSettings(file="flows/own.py"), overrides=("size=3",))
    asked = container_of(one, {}, {})
    assert asked["working_dir"] == one.request.place.workdir
    words = asked["entrypoint"]
    assert words[words.index("python") + 1] == "flows/own.py"
    assert "--size=3" in words
    assert asked["environment"]["BUILDER_TOOL_PATH"] == "/opt/builder"
    assert "PATH" not in asked["environment"]


def test_credentials_of_a_profile_go_along_as_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "credentials"
    file.write_text("[work]\naws_access_key_id = key\naws_secret_access_key = secret\naws_session_token = token\nregion = eu-west-1\n")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    found = s3.s3_environment(os.environ)
    assert found == {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(AuthError, match="nobody"):
        s3.s3_environment(os.environ)
