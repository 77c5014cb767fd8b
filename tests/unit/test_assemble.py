"""Config and manifest: what they hold, and that nothing else shows in them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from builder.image.assemble import image_config, image_manifest
from builder.image.base import Base, scratch
from builder.model.oci import LAYER_GZIP, Descriptor, Manifest, sha256
from builder.model.tree import Commit
from builder.settings import ImageSettings

COMMIT = Commit("ab" * 20, "cd" * 20, (), 1_700_000_000, "Ada Example", "Change it")
SETTINGS = ImageSettings(base="registry.example/pytorch@sha256:" + "1" * 64)
CODE = Descriptor(
    LAYER_GZIP,
    sha256(b"code"),
    4,
    {"dev.builder.kind": "code", "dev.builder.title": "src/ (2 files)", "dev.builder.diffid": sha256(b"plain")},
)


def base(**config: Any) -> Base:
    layers = (Descriptor(LAYER_GZIP, sha256(b"b1"), 2), Descriptor(LAYER_GZIP, sha256(b"b2"), 2))
    plain = {
        "os": "linux",
        "architecture": "amd64",
        "config": {},
        "history": [{"created_by": "RUN a"}, {"created_by": "ENV b", "empty_layer": True}, {"created_by": "RUN c"}],
    }
    return Base(SETTINGS.base, "sha256:" + "1" * 64, layers, (sha256(b"d1"), sha256(b"d2")), {**plain, **config})


def config_of(below: Base, inner: dict[str, Any] | None = None, settings: ImageSettings = SETTINGS) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(image_config(below, inner or {}, COMMIT, settings, [CODE]))
    return found


def environment(inner: dict[str, Any], settings: ImageSettings = SETTINGS) -> dict[str, str]:
    listed = config_of(base(), inner, settings)["config"]["Env"]
    assert len({item.partition("=")[0] for item in listed}) == len(listed)
    return dict(item.partition("=")[::2] for item in listed)


def test_layers_and_history_are_the_bases_and_then_ours() -> None:
    made = config_of(base())
    assert made["rootfs"] == {"type": "layers", "diff_ids": [sha256(b"d1"), sha256(b"d2"), sha256(b"plain")]}
    assert [line["created_by"] for line in made["history"]] == ["RUN a", "ENV b", "RUN c", "builder: code src/ (2 files)"]


@pytest.mark.parametrize("history", [[], [{"created_by": "only one"}], [{"created_by": "squashed"}] * 3, None])
def test_a_history_that_does_not_fit_the_layers_is_written_anew(history: object) -> None:
    """Readers refuse an image whose history counts other layers than it has."""
    lines = config_of(base(history=history))["history"]
    assert sum(not line.get("empty_layer") for line in lines) == 3


def test_the_time_is_the_commits() -> None:
    made = config_of(base(created="2024-01-01T00:00:00Z"))
    assert made["created"] == made["history"][-1]["created"] == "2023-11-14T22:13:20Z"


def test_environment() -> None:
    inner = {"Env": ["PATH=/usr/bin", "PYTHONPATH=/opt/lib", "A=1=2", "EMPTY="]}
    settings = replace(SETTINGS, pythonpath=("src", ".", "/abs"), env={"A": "mine", "NEW": "x"})
    found = environment(inner, settings)
    assert found["PYTHONPATH"] == "/code/src:/code:/abs:/opt/lib"
    assert found["BUILDER_COMMIT"] == COMMIT.sha
    assert (found["PATH"], found["A"], found["NEW"], found["EMPTY"]) == ("/usr/bin", "mine", "x", "")


def test_the_python_path_without_one_below_has_no_empty_part() -> None:
    """An empty part means the working directory of whoever runs."""
    assert environment({})["PYTHONPATH"] == "/code"
    assert "PYTHONPATH" not in environment({}, replace(SETTINGS, pythonpath=()))
    assert environment({"Env": ["PYTHONPATH="]})["PYTHONPATH"] == "/code"


def test_what_the_base_says_stays() -> None:
    inner = {"Entrypoint": ["/opt/entry.sh"], "Cmd": ["bash"], "User": "nobody", "WorkingDir": "/workspace", "Labels": {"a": "b"}}
    made = config_of(base(), inner)["config"]
    assert (made["Entrypoint"], made["Cmd"], made["User"]) == (["/opt/entry.sh"], ["bash"], "nobody")
    assert made["WorkingDir"] == "/code"
    assert made["Labels"]["a"] == "b"
    assert made["Labels"]["org.opencontainers.image.revision"] == COMMIT.sha


def test_a_config_without_parts_is_fine() -> None:
    made = config_of(base(), {"Env": None, "Labels": None})["config"]
    assert made["Env"] == ["PYTHONPATH=/code", f"BUILDER_COMMIT={COMMIT.sha}"]


def test_what_only_dockers_own_builds_mean_is_left_out() -> None:
    made = config_of(base(id="x", parent="y", container="z", container_config={}, docker_version="20", throwaway=True, variant="v8"))
    assert not {"id", "parent", "container", "container_config", "docker_version", "throwaway"} & set(made)
    assert made["variant"] == "v8"


def test_standard_annotations() -> None:
    manifest = image_manifest(base(), b"{}", [CODE], COMMIT, replace(SETTINGS, source="https://git.example/repo"), {"own": "1"})
    assert manifest.annotations == {
        "org.opencontainers.image.revision": COMMIT.sha,
        "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
        "org.opencontainers.image.source": "https://git.example/repo",
        "org.opencontainers.image.base.name": "registry.example/pytorch",
        "org.opencontainers.image.base.digest": "sha256:" + "1" * 64,
        "own": "1",
    }
    assert [layer.annotations["dev.builder.kind"] for layer in manifest.layers] == ["base", "base", "code"]
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


def test_a_directory_of_this_machine_is_not_named() -> None:
    manifest = image_manifest(base(), b"{}", [CODE], COMMIT, replace(SETTINGS, base="oci:/home/ada/images@sha256:" + "1" * 64), {})
    assert b"ada" not in manifest.to_bytes()


def test_nothing_below_is_no_base() -> None:
    manifest = image_manifest(scratch(), b"{}", [CODE], COMMIT, ImageSettings(base="scratch"), {})
    assert not [key for key in manifest.annotations if ".base." in key]
    assert manifest.layers == (CODE,)
