"""`builder deps`, and images with dependencies and tool layers, as a user has them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.cli.frame import run
from builder.model.oci import sha256
from builder.stores.layout import LayoutStore
from tests.fixtures.images import put_base
from tests.fixtures.wheels import console_script, make_wheel

SETTINGS = """\
[image]
base = "{base}"
python = "{python}"
[image.deps]
lock = "requirements.lock"
"""


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the working directory a repository with one commit that locks a package `greeting`."""
    source = {"greeting.py": "def main():\n    print('good morning')\n", **console_script("greeting", "1.0", "greet", "greeting:main")}
    lock = make_wheel(tmp_path / "wheels", "greeting", "1.0", source)
    repository = tmp_path / "repository"
    repository.mkdir()
    monkeypatch.chdir(repository)
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(base: str, python: str = "3.11") -> None:
        (repository / "requirements.lock").write_text(lock)
        (repository / "builder.toml").write_text(SETTINGS.format(base=base, python=python))
        (repository / "train.py").write_text("import greeting\ngreeting.main()\n")
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        for command in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "first")):
            subprocess.run(["git", *command], check=True)

    return make


def test_deps_are_planned_built_and_found(commit: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    commit("scratch")
    assert run(["deps", "--key"]) == 0
    key = capsys.readouterr().out.strip()
    assert run(["deps", "--dry-run"]) == 0
    planned = capsys.readouterr()
    assert (planned.out, f"lacks deps-{key}: 1 locked package" in planned.err) == ("", True)
    assert run(["deps"]) == 0
    built = capsys.readouterr()
    assert built.out.startswith("oci:")
    assert run(["deps"]) == 0
    again = capsys.readouterr()
    assert again.out == built.out
    assert "nothing to do" in again.err
    assert run(["deps", "-o", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["schema"], shown["key"], shown["found"], shown["reference"]) == (1, key, True, built.out.strip())
    assert [layer["title"] for layer in shown["layers"]] == ["deps: greeting"]


def test_a_table_ends_with_the_reference(commit: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    commit("scratch")
    assert run(["deps", "-o", "table"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("oci:")


def test_what_is_not_committed_is_not_built_and_that_is_said(commit: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    commit("scratch")
    assert run(["deps", "--key"]) == 0
    before = capsys.readouterr()
    assert "differs" not in before.err
    with Path("requirements.lock").open("a") as lock:
        lock.write("# more\n")
    assert run(["deps", "--key"]) == 0
    said = capsys.readouterr()
    assert said.out == before.out
    assert "requirements.lock in the working tree differs from the commit's" in said.err


def test_another_base_is_not_taken_for_the_pinned_ones_python(
    commit: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = f"oci:{tmp_path}/other@{put_base(LayoutStore(tmp_path / 'other'), b'layer')}"
    commit("scratch")
    assert run(["deps", "--key", "--base", other]) == 1
    assert "nobody knows" in capsys.readouterr().err
    assert run(["deps", "--key", "--base", "scratch"]) == 0


def test_an_image_is_built_again_after_its_layout_was_deleted(commit: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    commit("scratch")
    assert run(["image", "--to", "oci:one"]) == 0
    subprocess.run(["rm", "-r", "one"], check=True)
    assert run(["image", "--to", "oci:one"]) == 0


def test_without_deps_there_is_nothing_to_do(commit: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    commit("scratch")
    Path("builder.toml").write_text('[image]\nbase = "scratch"\n')
    subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qam", "none"], check=True)
    for options in ((), ("--key",), ("--dry-run",)):
        assert run(["deps", *options]) == 0
        said = capsys.readouterr()
        assert (said.out, "nothing to do" in said.err) == ("", True)


def test_a_lock_without_hashes_is_an_error_that_says_how_to_make_them(
    commit: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    commit("scratch")
    Path("requirements.lock").write_text("six==1.0\n")
    subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qam", "bad"], check=True)
    assert run(["deps"]) == 1
    said = capsys.readouterr().err
    assert "requirements.lock:1: six==1.0 has no --hash" in said
    assert "uv pip compile --generate-hashes" in said


@pytest.mark.minutes
def test_docker_runs_the_packages_and_the_tools_flows_find_theirs(
    docker_cli: str, docker_host: str, ngc_base: str, commit: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(ngc_base)
    store = f"{ngc_base.partition('/')[0]}/deps/lock-{sha256(str(tmp_path).encode())[7:15]}"
    assert run(["image", "--to", store, "-o", "name"]) == 0
    reference = capsys.readouterr().out.strip()

    imports = "import metaflow, boto3, omegaconf, tomlkit, builder.steps.finetune as f; print(metaflow.__file__, f.__file__)"
    script = f"""set -e
        python train.py; greet; head -1 /opt/deps/bin/greet
        export PYTHONPATH=/opt/builder USERNAME=me
        python -c '{imports}'
        cd /tmp && python /opt/builder/builder/_data/workflows/finetune.py show | grep -c 'Step start'
    """
    argv = [docker_cli, "--host", docker_host, "run", "--rm", "--network=none", reference, "sh", "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "good morning",
        "good morning",
        "#!/usr/bin/env python3.11",
        "/opt/builder/metaflow/__init__.py /opt/builder/builder/steps/finetune.py",
        "1",
    ]


def test_missing_makes_them_for_all_commits_without_an_image(
    commit: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A push of three commits, of which the second needs other packages, and the third cannot be made at all."""
    commit("scratch")
    for name, change in {"second": "requirements.lock", "third": "builder.toml"}.items():
        more = make_wheel(tmp_path / "wheels", "parting", "1.0", {"parting.py": "pass\n"}) if name == "second" else "\n[image.env]\nA = 1\n"
        Path(change).write_text(Path(change).read_text() + more)
        subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qam", name], check=True)
    subprocess.run(["git", "checkout", "-q", "HEAD~", "--", "builder.toml"], check=True)  # what is in force can be read
    assert run(["deps", "--missing", "--dry-run"]) == 0
    planned = capsys.readouterr()
    assert (planned.out, planned.err.count("would be built"), planned.err.count("skipped: ")) == ("", 2, 1)
    assert run(["deps", "--missing", "-o", "json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert [{layer["title"] for layer in one["layers"]} for one in made] == [{"deps: greeting"}, {"deps: greeting", "deps: parting"}]
    assert run(["deps", "--missing", "-o", "name"]) == 0
    again = capsys.readouterr()
    assert again.out.split() == [one["reference"] for one in made]
    assert again.err.count("nothing to do") == 2
    assert run(["image", "--commit", "HEAD~"]) == 0
    assert run(["deps", "--missing", "--commit", "HEAD~"]) == 0
    assert "no commit waits for its dependencies" in capsys.readouterr().err


def test_a_key_is_of_one_commit(commit: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    commit("scratch")
    assert run(["deps", "--missing", "--key"]) == 2
    assert "one of them" in capsys.readouterr().err
