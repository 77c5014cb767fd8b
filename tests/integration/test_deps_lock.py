"""Locked packages become layers: the same on every machine, importable, and cut so that little is uploaded again."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from builder.errors import DepsError
from builder.image.base import scratch
from builder.image.deps import Artifacts, CommitFiles, Deps, resolve_deps
from builder.image.deps import install as install_module
from builder.image.deps.scripts import entry_scripts
from builder.settings import DepsSettings, ImageSettings
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.wheels import console_script, make_wheel

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place from which packages come."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(directory))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return directory


def resolve(lock: str, store: MemoryStore, *, provided: Sequence[str] = (), python: str = HERE, platform: str = "linux/amd64") -> Deps:
    settings = ImageSettings(python=python, platform=platform, deps=DepsSettings(lock="requirements.lock", provided=tuple(provided)))
    files = CommitFiles({"requirements.lock": lock.encode()}.get, lambda: (), lambda _: iter(()))
    deps = resolve_deps(settings, files, scratch(platform, python), Artifacts(store))
    assert deps is not None
    return deps


def contents(deps: Deps, store: MemoryStore) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for layer in deps.layers:
        with tarfile.open(fileobj=io.BytesIO(store.blobs[layer.digest])) as tar:
            for member in tar.getmembers():
                assert member.name not in found
                found[member.name] = tar.extractfile(member).read()  # type: ignore[union-attr]
    return found


def three_packages(wheels: Path) -> str:
    lock = make_wheel(wheels, "alpha", "1.0", {"alpha/__init__.py": "V = 1\n", **console_script("alpha", "1.0", "alpha-run", "alpha:main")})
    lock += make_wheel(wheels, "beta", "2.0", {"beta.py": "import alpha\n", "beta-2.0.data/scripts/beta-tool": "#!python\nprint('beta')\n"})
    return lock + make_wheel(wheels, "gamma", "3.0", {"gamma/data.bin": "x" * 1000, "gamma/__init__.py": ""})


def test_the_same_lock_makes_the_same_digest_on_another_machine(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = three_packages(wheels)
    cold = resolve(lock, MemoryStore("one"))
    warm = resolve(lock, MemoryStore("two"))
    other = tmp_path / "another machine with a directory name so long that scripts cannot name its interpreter in one line" / "venv"
    venv.create(other, with_pip=False)
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    for name, value in {
        "HOME": tmp_path / "nobody",
        "TMPDIR": elsewhere,
        "UV_CACHE_DIR": tmp_path / "cold",
        "UV_LINK_MODE": "copy",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(install_module.sys, "executable", str(other / "bin" / "python"))
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.uv]\nconstraint-dependencies = ["alpha<1"]\n[tool.uv.pip]\ncompile-bytecode = true\n')
    assert warm == cold
    assert resolve(lock, MemoryStore("three")) == cold


def test_another_version_of_the_installer_makes_the_same_digest(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They differ in the text of console scripts, in whether there are some, and in their own notes."""
    lock, run = three_packages(wheels), install_module.process.run

    def other_version(argv: Sequence[str], **options: Any) -> object:
        done = run(argv, **options)
        target = Path(argv[argv.index("--target") + 1])
        info = target / "alpha-1.0.dist-info"
        (target / "bin/alpha-run").write_text("#!/usr/bin/python3\nimport sys, re\nfrom alpha import main\nsys.exit(main())\n")
        for note in ("INSTALLER", "uv_cache.json", "direct_url.json"):
            (info / note).write_text("another one")
        (info / "REQUESTED").unlink()
        rows = [row for row in (info / "RECORD").read_text().splitlines() if "alpha-run" not in row and "REQUESTED" not in row]
        (info / "RECORD").write_text("\n".join([*rows, "bin/alpha-run,sha256=other,1", "alpha-1.0.dist-info/uv_cache.json,,"]) + "\n")
        return done

    now = resolve(lock, MemoryStore("now"))
    monkeypatch.setattr(install_module.process, "run", other_version)
    assert resolve(lock, MemoryStore("then")) == now


def test_console_scripts_call_what_the_package_declares(wheels: Path, tmp_path: Path) -> None:
    points = "[console_scripts]\nsay = one:Main.run\nsay-more=one.two : more [extra]\n[gui_scripts]\nshow = one:Main.run\n[other]\nx = y\n"
    source = "class Main:\n    def run():\n        print('said')\n        return 3\n"
    files = {"one/__init__.py": source, "one/two.py": "def more(): print('more')", "one-1.0.dist-info/entry_points.txt": points}
    store = MemoryStore()
    made = contents(resolve(make_wheel(wheels, "one", "1.0", files), store), store)
    assert sorted(name for name in made if "/bin/" in name) == ["opt/deps/bin/say", "opt/deps/bin/say-more", "opt/deps/bin/show"]
    for name, data in made.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    for script, said, code in (("say", "said\n", 3), ("say-more", "more\n", 0), ("show", "said\n", 3)):
        argv = [sys.executable, tmp_path / "opt/deps/bin" / script]
        done = subprocess.run(argv, env={"PYTHONPATH": str(tmp_path / "opt/deps")}, capture_output=True, text=True, check=False)
        assert (done.stdout, done.returncode) == (said, code)


@pytest.mark.parametrize("line", ["../../evil = one:main", "evil = one", "evil = one:main() or __import__('os')", "a b = one:main"])
def test_hostile_entry_points_are_refused(tmp_path: Path, line: str) -> None:
    info = tmp_path / "one-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(f"[console_scripts]\n{line}\n")
    with pytest.raises(DepsError, match="which is no module:function"):
        entry_scripts(info, "3.12")


def test_packages_can_be_imported_and_scripts_run(wheels: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    deps = resolve(three_packages(wheels), store)
    files = contents(deps, store)
    assert files["opt/deps/bin/alpha-run"].startswith(f"#!/usr/bin/env python{HERE}\n".encode())
    for name, data in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_bytes(data)
    python_path = tmp_path / "root" / "opt" / "deps"
    code = "import beta, gamma, importlib.metadata as m; print(beta.alpha.V, m.version('gamma'), m.files('beta')[0].locate().exists())"
    said = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(python_path)}, capture_output=True, text=True, check=True)
    assert said.stdout == "1 3.0 True\n"
    script = subprocess.run([sys.executable, python_path / "bin" / "beta-tool"], capture_output=True, text=True, check=True)
    assert script.stdout == "beta\n"


def test_nothing_of_this_machine_is_in_the_layers(wheels: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    files = contents(resolve(three_packages(wheels), store), store)
    for name, data in files.items():
        assert name.startswith("opt/deps/")
        assert not name.endswith((".pyc", "direct_url.json", ".lock"))
        for word in (str(tmp_path), sys.prefix, sys.executable, "file://"):
            assert word.encode() not in data, name


def test_the_record_is_true(wheels: Path) -> None:
    import base64
    import csv
    import hashlib

    store = MemoryStore()
    files = contents(resolve(three_packages(wheels), store), store)
    rows = [row for name, data in files.items() if name.endswith("/RECORD") for row in csv.reader(data.decode().splitlines())]
    assert sorted(f"opt/deps/{row[0]}" for row in rows) == sorted(files)
    for path, digest, size in rows:
        data = files[f"opt/deps/{path}"]
        expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        assert (digest, size) in ((f"sha256={expected}", str(len(data))), ("", "")), path


def test_one_changed_package_changes_one_layer(wheels: Path) -> None:
    lines = {n: make_wheel(wheels, n, "1.0", {f"{n}.py": n}) for n in ("six", "click", "rich", "idna", "boto3")}
    before = resolve("".join(lines.values()), MemoryStore())
    after = resolve("".join({**lines, "six": make_wheel(wheels, "six", "1.1", {"six.py": "new"})}.values()), MemoryStore())
    assert len(before.layers) > 2
    assert len({layer.digest for layer in after.layers} - {layer.digest for layer in before.layers}) == 1


def test_unchanged_inputs_run_nothing(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, lock = MemoryStore(), three_packages(wheels)
    made = resolve(lock, store)
    monkeypatch.setattr("builder.process.run", lambda *args, **kwargs: pytest.fail("something ran"))
    assert resolve(lock, store) == made
    assert list(store.tags) == [f"deps-{made.key}"]


def test_provided_packages_are_left_to_the_base(wheels: Path) -> None:
    store = MemoryStore()
    files = contents(resolve(three_packages(wheels), store, provided=["Gamma"]), store)
    assert not any("gamma" in name for name in files)
    nothing = resolve(three_packages(wheels), MemoryStore(), provided=["alpha", "beta", "gamma"])
    assert (nothing.layers, nothing.digest) == ((), "")


def test_what_the_base_says_of_its_python_goes_before_the_settings(wheels: Path) -> None:
    lock = make_wheel(wheels, "old", "1.0", {"old.py": ""}).replace(" ", " ; python_version < '3.12' ", 1)
    settings = ImageSettings(python="3.13", deps=DepsSettings(lock="requirements.lock"))
    files = CommitFiles({"requirements.lock": lock.encode()}.get, lambda: (), lambda _: iter(()))
    deps = resolve_deps(settings, files, scratch(python="3.10"), Artifacts(MemoryStore()))
    assert deps is not None
    assert len(deps.layers) == 1


def test_markers_are_those_of_the_images_python_and_platform(wheels: Path) -> None:
    lock = make_wheel(wheels, "old", "1.0", {"old.py": ""}).replace(" ", " ; python_version < '3.12' ", 1)
    lock += make_wheel(wheels, "new", "1.0", {"new.py": ""}).replace(" ", " ; python_version >= '3.12' and sys_platform == 'linux' ", 1)
    for python, name in (("3.10", "old"), ("3.13", "new")):
        store = MemoryStore()
        assert {path.split("/")[2].split("-")[0].removesuffix(".py") for path in contents(resolve(lock, store, python=python), store)} == {
            name
        }


def test_wheels_are_those_of_the_images_platform(wheels: Path) -> None:
    lock = ""
    for machine in ("x86_64", "aarch64"):
        lock = (
            lock.rstrip("\n")
            + " " * bool(lock)
            + make_wheel(wheels, "native", "1.0", {"native.py": machine}, f"py3-none-manylinux_2_17_{machine}").replace(
                "native==1.0 ", "" if lock else "native==1.0 "
            )
        )
    for platform, machine in (("linux/amd64", b"x86_64"), ("linux/arm64", b"aarch64")):
        store = MemoryStore()
        assert contents(resolve(lock, store, platform=platform), store)["opt/deps/native.py"] == machine
    with pytest.raises(DepsError, match="cannot be installed for linux/s390x"):
        resolve(lock, MemoryStore(), platform="linux/s390x")


def test_of_two_files_with_one_name_the_later_package_has_it(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = "".join(
        make_wheel(wheels, name, "1.0", {"shared/__init__.py": name, f"shared/{name}.py": name}) for name in ("zeta", "alpha", "mid")
    )
    store = MemoryStore()
    files = contents(resolve(lock, store), store)
    assert files["opt/deps/shared/__init__.py"] == b"zeta"
    assert b"shared/__init__.py" not in files["opt/deps/alpha-1.0.dist-info/RECORD"]


def test_a_hostile_record_takes_nothing_from_this_machine(wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    record = f"../../../../../../..{tmp_path}/secret,,\n{tmp_path}/secret,,\n/etc/passwd,,\n"
    lock = make_wheel(wheels, "evil", "1.0", {"evil.py": ""}, more_record=record)
    store = MemoryStore()
    files = contents(resolve(lock, store), store)
    assert sorted(name for name in files if "dist-info" not in name) == ["opt/deps/evil.py"]
    assert not any(b"secret" in data for data in files.values())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda lock: lock.replace("sha256:", "sha256:" + "0" * 64 + " --was=", 1).split(" --was=")[0] + "\n", "cannot be installed"),
        (lambda lock: lock.replace("alpha==1.0", "alpha==9.9"), "cannot be installed"),
    ],
)
def test_what_cannot_be_installed_says_why(
    wheels: Path, spoil: Callable[[str], str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_NO_VERIFY_HASHES", "1")  # somebody's habit
    store = MemoryStore()
    with pytest.raises(DepsError, match=message) as caught:
        resolve(spoil(make_wheel(wheels, "alpha", "1.0", {"alpha.py": ""})), store)
    assert "alpha" in caught.value.message
    assert caught.value.hint
    assert not store.manifests


def test_a_package_without_a_wheel_belongs_in_a_dockerfile(wheels: Path) -> None:
    lock = make_wheel(wheels, "native", "1.0", {"native.py": ""}, "cp39-cp39-manylinux_2_17_x86_64")
    with pytest.raises(DepsError, match="native") as caught:
        resolve(lock, MemoryStore())
    assert "Dockerfile" in caught.value.hint


def test_without_a_known_python_nothing_can_be_installed(wheels: Path) -> None:
    with pytest.raises(DepsError, match="nobody knows") as caught:
        resolve(three_packages(wheels), MemoryStore(), python="")
    assert "[image] python" in caught.value.hint


def test_a_lock_that_the_commit_lacks_is_named() -> None:
    settings = ImageSettings(deps=DepsSettings(lock="missing.lock"))
    with pytest.raises(DepsError, match=r"missing\.lock, which the commit does not have"):
        resolve_deps(
            settings, CommitFiles(lambda _: None, lambda: (), lambda _: iter(())), scratch(python="3.12"), Artifacts(MemoryStore())
        )


@pytest.mark.minutes
def test_real_packages_from_the_index_make_the_same_digest_with_another_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = """\
six==1.17.0 --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274
"""
    first = resolve(lock, MemoryStore(), python="3.12")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    store = MemoryStore()
    assert resolve(lock, store, python="3.12") == first
    assert b"http" not in b"".join(data for name, data in contents(first, store).items() if name.endswith(("RECORD", "WHEEL", "INSTALLER")))
