"""`builder doctor`: each thing broken in turn is named, with a remedy; what is not needed does not fail."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.cache import blob_cache
from builder.cli import frame
from builder.cli.wiring import open_store
from builder.data.directory import DirectoryObjects
from builder.doctor import CHECKS, Check, Found, Scene, examine, machine, project, storage
from builder.errors import AuthError, SettingsError, StoreError
from builder.image.base import load_base
from builder.image.deps import Artifacts, plan_deps
from builder.image.prepare import commit_files
from builder.process import Completed, run
from builder.settings import DataSettings, DepsSettings, ImageSettings, RunSettings, Settings, StoreSettings, load
from builder.settings.keeping import PAGE
from builder.source.repository import Git
from builder.stores.interface import Store
from builder.stores.layout import LayoutStore
from tests.fixtures.images import put_base
from tests.fixtures.registry_server import RegistryServer
from tests.fixtures.roots import bucket_in_process, credentials


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A repository with one commit and settings that need nothing."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    (tmp_path / "builder.toml").write_text('[image]\nbase = "scratch"\n')
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@x", "commit", "-q", "-m", "First"], cwd=tmp_path, check=True)
    return scene_of(tmp_path, load(tmp_path, {}))


def scene_of(start: Path, settings: Settings, opened: Callable[[str], Store] | None = None) -> Scene:
    return Scene(start, {"HOME": str(start)}, settings, opened or (lambda text: open_store(text, settings)))


def with_settings(scene: Scene, **tables: object) -> Scene:
    return scene_of(scene.start, replace(scene.settings, **tables))  # type: ignore[arg-type]


def states(scene: Scene) -> dict[str, str]:
    return {report.check.name: report.found.state for report in examine(CHECKS, scene)}


def test_all_is_well(scene: Scene) -> None:
    found = states(scene)
    assert "failed" not in found.values()
    assert [found[name] for name in ("git", "settings", "store", "base", "data root")] == ["ok"] * 5
    assert [found[name] for name in ("dependencies", "credentials")] == ["-"] * 2


def test_it_says_where_the_page_is(scene: Scene) -> None:
    def said() -> tuple[str, str]:
        return next((one.found.state, one.found.detail) for one in examine(CHECKS, scene) if one.check.name == "page")

    assert said()[0] == "-"
    root = DirectoryObjects(scene.settings.root / scene.settings.data.root)
    root.put(PAGE, b"<!doctype html>")
    assert said() == ("ok", f"{root.url(PAGE)}, 0 s old")


def test_every_failure_has_a_remedy(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, Settings(root=tmp_path))
    broken = [report for report in examine(CHECKS, scene) if report.found.state == "failed"]
    assert {report.check.name for report in broken} == {"repository", "settings", "base"}
    assert all(report.found.remedy for report in broken)


def test_broken_settings_fail_once(scene: Scene) -> None:
    found = states(replace(scene, trouble=SettingsError("builder.toml: x: unknown key")))
    assert [name for name, state in found.items() if state == "failed"] == ["settings"]
    assert found["base"] == "-"
    assert found["git"] == "ok"


@pytest.mark.parametrize("error", [StoreError("r: unreachable", "h"), AuthError("r: denied", "h")])
def test_an_error_of_ours_is_a_failed_check(scene: Scene, error: Exception) -> None:
    def look(_: Scene) -> Found:
        raise error

    (report,) = examine([Check("g", "n", look)], scene)
    assert report.found == Found("failed", str(error), "h")


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("git version 2.39.5", "ok"),
        ("git version 2.30.9 (Apple)", "failed"),
        ("git version 2.31.0", "ok"),
        ("git version 3.0", "ok"),
        ("?", "failed"),
    ],
)
def test_an_old_git_is_not_enough(scene: Scene, monkeypatch: pytest.MonkeyPatch, said: str, state: str) -> None:
    monkeypatch.setattr(machine, "run", lambda *_, **__: Completed(0, said.encode(), b""))
    assert machine.git(scene).state == state


def test_no_git_at_all(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert machine.git(scene) == Found("failed", "not installed", "install git (Debian: apt-get install git)")


@pytest.mark.parametrize(("lfs", "state"), [("pointers", "-"), ("fetch", "failed")])
def test_git_lfs_is_needed_by_those_who_fetch(scene: Scene, monkeypatch: pytest.MonkeyPatch, lfs: str, state: str) -> None:
    (scene.start / ".gitattributes").write_text("*.pt filter=lfs\n")
    subprocess.run(["git", "add", "."], cwd=scene.start, check=True)

    def without_lfs(argv: list[str], **options: object) -> Completed:
        return Completed(1, b"", b"") if argv[1] == "lfs" else run(argv, **options)  # type: ignore[arg-type]

    assert machine.git_lfs(scene_of(scene.start, scene.settings)).state in ("ok", "-")
    monkeypatch.setattr(machine, "run", without_lfs)
    assert machine.git_lfs(with_settings(scene, image=ImageSettings(lfs=lfs))).state == state  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("engine", "tables", "state"),
    [
        ("", {}, "-"),
        ("24.0", {}, "ok"),
        ("", {"store": StoreSettings(to="docker:")}, "failed"),
        ("", {"run": RunSettings(on="docker")}, "failed"),
        ("", {"image": ImageSettings(deps=DepsSettings(dockerfile="D"))}, "failed"),
        ("", {"image": ImageSettings(deps=DepsSettings(lock="l"))}, "-"),
        ("24.0", {"image": ImageSettings(deps=DepsSettings(dockerfile="D"))}, "failed"),  # an engine, but no docker command
    ],
)
def test_docker_is_needed_by_some(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, engine: str, tables: dict[str, object], state: str
) -> None:
    monkeypatch.setattr(machine, "_engine", lambda _: engine)
    monkeypatch.setattr("builder.doctor.machine.shutil.which", lambda _: None)
    found = machine.docker(with_settings(scene, **tables))
    assert found.state == state
    assert bool(found.remedy) == (state == "failed")


def test_a_remote_buildkit_makes_docker_needless(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_engine", lambda _: "")
    needs = with_settings(scene, image=ImageSettings(deps=DepsSettings(dockerfile="D")))
    assert machine.docker(replace(needs, environ={"BUILDKIT_HOST": "tcp://x:1"})).state == "-"


def test_no_engine_answers_at_a_dead_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for host in (f"unix://{tmp_path}/none.sock", "tcp://127.0.0.1:1", "nonsense://x"):
        monkeypatch.setenv("DOCKER_HOST", host)
        assert machine._engine(host) == ""


def test_a_full_disk(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_ROOM", 10**18)
    assert machine.disk(scene).state == "failed"


def test_repositories_that_cannot_be_read(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, Settings())
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert project.repository(scene).detail == "no commit yet"
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", "--object-format=sha256", str(other)], check=True)
    assert "sha256" in project.repository(scene_of(other, Settings())).detail


def test_a_lock_that_is_not_there(scene: Scene) -> None:
    needs = with_settings(scene, image=ImageSettings(deps=DepsSettings(lock="requirements.lock")))
    assert project.deps(needs).state == "failed"
    (scene.start / "requirements.lock").touch()
    assert project.deps(needs).state == "ok"


def test_places_that_cannot_be_written(scene: Scene) -> None:
    (scene.start / "file").touch()
    assert project.data_root(with_settings(scene, data=DataSettings("file/data"))).state == "failed"
    assert storage.store(with_settings(scene, store=StoreSettings("oci:file/x"))).state == "failed"


def test_a_layout_that_is_none(scene: Scene) -> None:
    directory = scene.start / "images"
    directory.mkdir()
    (directory / "index.json").write_text("{broken")
    (found,) = examine([Check("g", "store", storage.store)], with_settings(scene, store=StoreSettings("oci:images")))
    assert found.found.state == "failed"


@pytest.mark.parametrize(("name", "state", "said"), [("bucket", "ok", "can be listed"), ("another", "failed", "NoSuchBucket")])
def test_a_bucket(scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str, state: str, said: str) -> None:
    with bucket_in_process(monkeypatch):
        found = project.data_root(with_settings(scene, data=DataSettings(f"s3://{name}/prefix/x")))
    assert (found.state, said in found.detail) == (state, True)
    assert bool(found.remedy) == (state == "failed")


def test_a_bucket_that_nobody_serves(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials(monkeypatch, "key", "secret")
    monkeypatch.setattr("time.sleep", lambda _: None)
    found = project.data_root(with_settings(scene, data=DataSettings("s3://bucket", "http://127.0.0.1:1")))
    assert (found.state, "[data] endpoint" in found.remedy) == ("failed", True)
    assert project.data_root(with_settings(scene, data=DataSettings("gs://bucket"))).state == "failed"


def test_a_registry_that_answers_and_one_that_does_not(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(scene.start))
    with RegistryServer() as registry:
        there = with_settings(scene, store=StoreSettings(str(registry.repository())))
        assert storage.store(there).state == "ok"
        assert storage.credentials(there).state == "-"
        auths = {"auths": {registry.host: {"auth": "bWU6c2VjcmV0"}}}
        (scene.start / "config.json").write_text(json.dumps(auths))
        found = storage.credentials(there)
        assert (found.state, "secret" in found.detail) == ("ok", False)
    monkeypatch.setattr("time.sleep", lambda _: None)
    (report,) = examine([Check("g", "store", storage.store)], there)
    assert report.found.state == "failed"


@pytest.mark.parametrize("base", ["", "a.example.com/x:tag"])
def test_a_base_without_a_digest(scene: Scene, base: str) -> None:
    (report,) = examine([Check("g", "base", storage.base)], with_settings(scene, image=ImageSettings(base=base)))
    assert report.found.state == "failed"
    assert "builder base pin" in report.found.remedy


def test_a_base_that_is_there_and_one_that_must_be_mirrored(scene: Scene, tmp_path: Path) -> None:
    digest = put_base(LayoutStore(tmp_path / "base"), b"layer", env=("PYTHON_VERSION=3.11.9",))
    image = ImageSettings(base=f"oci:base@{digest}")
    found = storage.base(with_settings(scene, image=image))
    assert (found.state, "1 layer," in found.detail) == ("ok", True)
    with RegistryServer() as registry:
        elsewhere = with_settings(scene, image=image, store=StoreSettings(str(registry.repository())))
        (report,) = examine([Check("g", "base", storage.base)], elsewhere)
    assert report.found.state == "failed"
    assert "builder base mirror" in report.found.remedy


def test_a_base_in_the_same_registry_is_mounted_by_image(scene: Scene) -> None:
    with RegistryServer() as registry:
        bases = open_store(str(registry.repository("bases")), Settings())
        digest = put_base(bases, b"layer", env=("PYTHON_VERSION=3.11.9",))
        image = ImageSettings(base=f"{bases.name}@{digest}")
        found = storage.base(with_settings(scene, image=image, store=StoreSettings(str(registry.repository("code")))))
    assert (found.state, "in the same registry" in found.detail) == ("ok", True)


def test_no_base_in_a_file_that_is_there_names_the_key(scene: Scene) -> None:
    assert storage.base(with_settings(scene, image=ImageSettings())).remedy.startswith(f"set [image] base in {scene.start}/builder.toml")
    assert "builder init" in storage.base(with_settings(scene, image=ImageSettings(), file=None)).remedy


def test_built_dependencies_need_no_docker(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_engine", lambda _: "")
    (scene.start / "builder.toml").unlink()
    (scene.start / "D").write_text("ARG BASE\nFROM ${BASE}\n")
    subprocess.run(["git", "add", "-A"], cwd=scene.start, check=True)
    subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@x", "commit", "-q", "-m", "D"], cwd=scene.start, check=True)
    with RegistryServer() as registry:
        store = open_store(str(registry.repository()), Settings())
        image = ImageSettings(base=f"{store.name}@{put_base(store, b'layer')}", deps=DepsSettings(dockerfile="D"))
        needs = with_settings(scene, image=image, store=StoreSettings(store.name))
        assert project.docker(needs).state == "failed"
        with Git.open(scene.start) as git:
            files = commit_files(git, git.resolve("HEAD"))
            recipe = plan_deps(image, files, load_base(image.base, [store], blob_cache({"HOME": str(scene.start)})))
        assert recipe is not None
        Artifacts(store).publish(recipe.tag, "deps", [], "linux/amd64")
        assert project.docker(needs).state == "-"
        assert project.docker(replace(needs, settings=replace(needs.settings, run=RunSettings(on="docker")))).state == "failed"


def test_the_command(scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(scene.start)
    assert frame.run(["doctor", "-o", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["schema"] == 1
    assert [check["name"] for check in said["checks"]] == [check.name for check in CHECKS]
    (scene.start / "builder.toml").write_text("[image]\nbse = 1\n")
    assert frame.run(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "  failed  settings      builder.toml: image.bse: unknown key; did you mean image.base?\n" in text
    assert "\nThis repository\n" in text


def test_a_file_of_ci_that_lacks_a_job(scene: Scene) -> None:
    from builder.ci import pipeline_of, render
    from builder.doctor import ci

    assert ci.jobs(scene).state == "-"
    file = scene.start / ".circleci/config.yml"
    file.parent.mkdir()
    file.write_text("jobs: {}\n")
    assert ci.jobs(scene).state == "-", "it is about something else"
    file.write_text(render(pipeline_of(scene.settings, "main"), "circleci")[".circleci/config.yml"])
    assert ci.jobs(scene) == Found("ok", ".circleci/config.yml makes images")
    with_deps = with_settings(scene, image=ImageSettings(base=f"r.test/x@sha256:{'a' * 64}", deps=DepsSettings(dockerfile="D")))
    found = ci.jobs(with_deps)
    assert (found.state, "never runs `builder base mirror`" in found.detail) == ("failed", True)
    file.write_text(file.read_text() + "# builder base mirror\n")
    found = ci.jobs(with_deps)
    assert (found.state, "never runs `builder deps`" in found.detail) == ("failed", True)
    assert "builder init --ci circleci --force" in found.remedy


def test_without_docker_it_says_which_command_would_need_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_engine", lambda _: "")
    assert "`builder test` ([ci] test) needs one" in machine.docker(scene).detail
