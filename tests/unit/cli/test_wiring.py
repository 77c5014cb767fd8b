"""Which store a text names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builder.cli import frame
from builder.cli.wiring import open_store
from builder.errors import UsageError
from builder.settings import Settings, StoreSettings
from builder.stores.daemon import DaemonStore
from builder.stores.layout import LayoutStore
from builder.stores.registry import RegistryStore


def test_relative_layouts_start_where_their_text_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(root=tmp_path / "root", store=StoreSettings(to="oci:images"))
    monkeypatch.chdir(tmp_path)
    assert open_store("", settings).name == f"oci:{tmp_path}/root/images"
    assert open_store("oci:images", settings).name == f"oci:{tmp_path}/images"
    assert open_store("oci:/x", settings).name == "oci:/x"
    assert open_store("", replace(settings, store=StoreSettings())).name == f"oci:{tmp_path}/root/.builder/images"


def test_kinds() -> None:
    assert isinstance(open_store("oci:x", Settings()), LayoutStore)
    assert isinstance(open_store("docker:", Settings()), DaemonStore)
    assert isinstance(open_store("localhost:5000/x", Settings()), RegistryStore)


def test_the_pull_name_is_for_the_store_of_the_settings_only() -> None:
    settings = Settings(store=StoreSettings(push="a.example.com/x", pull="b.example.com/x"))
    assert open_store("", settings).name == open_store("a.example.com/x", settings).name == "b.example.com/x"
    assert open_store("c.example.com/x", settings).name == "c.example.com/x"


def plain(text: str, settings: Settings) -> bool:
    store = open_store(text, settings)
    assert isinstance(store, RegistryStore)
    return store._client.url("").startswith("http://")


def test_plain_http_is_for_the_host_of_the_store_alone() -> None:
    settings = Settings(store=StoreSettings(to="a.example.com/x", insecure=True))
    assert plain("", settings)
    assert plain("a.example.com/base", settings)
    assert not plain("b.example.com/base", settings)
    assert not plain("a.example.com:444/x", settings)


def test_the_option_is_for_the_host_that_to_names(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def opened(repo: object, to: str, base: str, **_: object) -> None:
        settings = Settings(store=StoreSettings(to="a.example.com/x", insecure=True))
        seen.extend(plain(host, settings) for host in (f"{to}", "a.example.com/x", "c.example.com/base"))
        raise UsageError("enough")

    monkeypatch.setattr("builder.cli.making.making", opened)
    assert frame.run(["image", "--to", "b.example.com/x", "--insecure-registry"]) == 2
    assert seen == [True, False, False]
    seen.clear()
    assert frame.run(["image", "--to", "b.example.com/x"]) == 2
    assert seen == [False, True, False]


@pytest.mark.parametrize("path", [["image"], ["deps"], ["verify"], ["base", "mirror"]])
def test_what_takes_a_store_takes_the_option(path: list[str]) -> None:
    frame.command_of(path[:1])
    assert "--insecure-registry" in [name for parameter in frame.command_of(path).params for name in parameter.opts]


@pytest.mark.parametrize("path", [["deploy"], ["slim-repo"], ["data", "pull"]])
def test_what_takes_another_place_does_not(path: list[str]) -> None:
    frame.command_of(path[:1])
    options = [name for parameter in frame.command_of(path).params for name in parameter.opts]
    assert "--to" in options
    assert "--insecure-registry" not in options


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("oci:", "oci:DIR"),
        ("oci:x@sha256:00", "write oci:x"),
        ("docker:x", "docker: alone"),
        ("https://a.example.com/x", "registry.host/name"),
        ("images", "oci:images for a directory"),
        ("team/images", "oci:team/images"),
        ("a.example.com/", "registry.host/name"),
        ("a.example.com/x:tag", "write a.example.com/x"),
        ("a.example.com/x@sha256:00", "write a.example.com/x"),
        ("a.example.com/UPPER", "lower case"),
        ("127.0.0.1:99999/a", "a port up to 65535"),
        ("a.example.com:/a", "a port up to 65535"),
        ("user:secret@a.example.com/a", "host or host:port"),
        ("https://user:secret@a.example.com/a", "registry.host/name"),
    ],
)
def test_nonsense_is_told_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(text, Settings())
    assert hint in caught.value.hint
    assert "secret" not in caught.value.message
