"""Which store a text names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

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
