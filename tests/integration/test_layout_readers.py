"""Other tools read our layout, and we read theirs."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from pathlib import Path

from builder.cache import Cache
from builder.image.base import resolve
from builder.image.base_mirror import mirror, plan_mirror
from builder.model.reference import Repository
from builder.stores.layout import LayoutStore
from builder.stores.registry import RegistryStore
from tests.fixtures.images import put_base, tar


def call(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_skopeo_reads_ours_and_we_read_skopeos(skopeo: str, tmp_path: Path) -> None:
    ours = LayoutStore(tmp_path / "ours")
    digest = put_base(ours, tar({"a": b"1"}), tar({"b": b"2"}), tag="one")
    put_base(ours, tar({"a": b"3"}), tag="two")
    assert json.loads(call(skopeo, "inspect", f"oci:{ours.directory}:one"))["Digest"] == digest
    for name in ("theirs:named", "unnamed"):
        call(skopeo, "--insecure-policy", "copy", f"oci:{ours.directory}:one", f"oci:{tmp_path}/{name}")
    for text in (f"oci:{tmp_path}/theirs:named", f"oci:{tmp_path}/theirs", f"oci:{tmp_path}/unnamed"):
        store = LayoutStore(Path(text.removeprefix("oci:").removesuffix(":named")))
        assert resolve(text, store, Cache(tmp_path / "cache")).digest == digest


def test_crane_reads_ours_and_we_read_cranes(crane: str, docker_registry: str, tmp_path: Path) -> None:
    ours = LayoutStore(tmp_path / "ours")
    digest = put_base(ours, tar({"a": b"1"}), tag="one")
    remote = f"{docker_registry}/layouts/crane"
    call(crane, "push", str(ours.directory), f"{remote}:one")
    call(crane, "pull", "--format=oci", f"{remote}:one", str(tmp_path / "theirs"))
    assert call(crane, "digest", f"{remote}:one").strip() == digest
    assert resolve(f"oci:{tmp_path}/theirs", LayoutStore(tmp_path / "theirs"), Cache(tmp_path / "cache")).digest == digest


def test_a_base_of_55_layers_is_mounted_and_then_downloaded(ngc_base: str, tmp_path: Path) -> None:
    repository = Repository.parse(ngc_base.partition("@")[0])
    with (
        closing(RegistryStore(repository)) as source,
        closing(RegistryStore(Repository(repository.host, f"mirror/{tmp_path.name}"))) as near,
    ):
        base = resolve(ngc_base, source, Cache(tmp_path / "cache"))
        assert base.digest == ngc_base.partition("@")[2]
        assert mirror(plan_mirror(base, near), source, near).sent == 0
        here = LayoutStore(tmp_path / "here")
        plan = plan_mirror(base, here)
        assert mirror(plan, near, here).size == plan.size
        assert plan_mirror(base, here).done
        assert plan_mirror(base, near).done
