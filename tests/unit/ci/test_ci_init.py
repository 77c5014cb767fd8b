"""`builder init --ci`: which files it writes, and when it does not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from builder import __version__
from builder.cli import frame
from builder.settings import load

FILES = {"circleci": [".circleci/config.yml"], "github": [".github/workflows/builder.yml", ".github/workflows/builder-housekeep.yml"]}


@pytest.fixture(name="root")
def a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    subprocess.run(["git", "init", "-q", "--initial-branch=trunk"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def track(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)


def written(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and ".git/" not in f"{path}/"}


@pytest.mark.parametrize("provider", FILES)
def test_with_settings_it_writes_what_ci_reads_and_nothing_else(root: Path, capsys: pytest.CaptureFixture[str], provider: str) -> None:
    track(root, builder_toml='[image]\nbase = "scratch"\n[store]\nto = "registry.example/team"\n')
    assert frame.run(["init", "--ci", provider]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(root / path) for path in FILES[provider]]
    assert written(root) == {"builder.toml", *FILES[provider]}
    assert "next: commit" in said.err
    assert "trunk" in (root / FILES[provider][0]).read_text(), "the branch that is there"


def test_without_any_it_writes_settings_and_a_dockerfile(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    track(root, requirements__base_txt="torch\npytest\n", tests__test_py="", tests__conftest_py="")
    assert frame.run(["init", "--ci", "circleci"]) == 0
    assert "dockerfiles/pytorch/Dockerfile" in written(root)
    settings = load(root, {})
    assert settings.image.deps is not None
    assert (settings.image.deps.dockerfile, settings.image.deps.context) == ("dockerfiles/pytorch/Dockerfile", ("requirements/base.txt",))
    assert settings.image.deps.args == {"REQUIREMENTS": "requirements/base.txt"}
    assert settings.ci.test == ("python", "-m", "pytest")
    assert "deps" in yaml.safe_load((root / ".circleci/config.yml").read_text())["jobs"]
    assert "next: builder base pin nvcr.io" in capsys.readouterr().err


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"requirements_txt": "x==1 --hash=sha256:" + "a" * 64},
        {"Dockerfile": "FROM x\n", "requirements_txt": "x\n"},
        {"Dockerfile": "ARG BASE\nFROM ${BASE}\n", "requirements_txt": "x\n"},
    ],
)
def test_no_dockerfile_where_one_is_there_or_none_is_needed(root: Path, files: dict[str, str]) -> None:
    track(root, **files)
    assert frame.run(["init", "--ci", "github"]) == 0
    assert "dockerfiles/pytorch/Dockerfile" not in written(root)


def test_what_is_there_stays_unless_it_is_forced(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = '[image]\nbase = "scratch"\n'
    track(root, builder_toml=settings, _circleci__config_yml="mine\n")
    (root / ".circleci").mkdir(exist_ok=True)
    (root / ".circleci/config.yml").write_text("mine\n")
    assert frame.run(["init", "--ci", "circleci"]) == 2
    assert "config.yml is there already" in capsys.readouterr().err
    assert (root / ".circleci/config.yml").read_text() == "mine\n"
    assert frame.run(["init", "--ci", "circleci", "--force"]) == 0
    assert "builder image --missing" in (root / ".circleci/config.yml").read_text()
    assert (root / "builder.toml").read_text() == settings, "settings are never replaced this way"


def test_refused_before_anything_is_written(root: Path) -> None:
    (root / ".github/workflows").mkdir(parents=True)
    (root / ".github/workflows/builder-housekeep.yml").write_text("mine\n")
    before = written(root)
    assert frame.run(["init", "--ci", "github"]) == 2
    assert written(root) == before


def test_a_dry_run_prints_everything_and_writes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    track(root, requirements_txt="x\n")
    before = written(root)
    assert frame.run(["init", "--ci", "github", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("# --- ")] == [
        f"# --- {path}" for path in ("builder.toml", "dockerfiles/pytorch/Dockerfile", *FILES["github"])
    ]
    assert written(root) == before


def test_a_flow_and_ci_are_two_things(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["init", "--ci", "github", "--flow", "x"]) == 2
    assert "one of them" in capsys.readouterr().err


def test_the_default_branch_is_the_remotes(root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    track(root, builder_toml='[image]\nbase = "scratch"\n')
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "one"], cwd=root, check=True)
    clone = tmp_path_factory.mktemp("clone") / "x"
    subprocess.run(["git", "clone", "-q", str(root), str(clone)], check=True)
    subprocess.run(["git", "checkout", "-q", "-b", "main"], cwd=clone, check=True)
    monkeypatch.chdir(clone)
    assert frame.run(["init", "--ci", "circleci"]) == 0
    assert "only: trunk" in (clone / ".circleci/config.yml").read_text()


def commit(root: Path) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "one"], cwd=root, check=True)


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_a_branch_that_is_a_guess_is_said_to_be_one(root: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """Else nightlies would be deployed from a feature branch, and nobody would see it before the first night."""
    track(root, builder_toml='[image]\nbase = "scratch"\n')
    subprocess.run(["git", "symbolic-ref", "HEAD", "refs/heads/feature/x"], cwd=root, check=True)
    commit(root)
    assert frame.run(["init", "--ci", "github", *words]) == 0
    said = capsys.readouterr().err
    assert "warning: nightlies deploy from feature/x: there is neither main nor master" in said
    assert "[ci] branch sets another" in said


def _main_here(root: Path) -> None:
    subprocess.run(["git", "branch", "-q", "main"], cwd=root, check=True)


def _main_unborn(root: Path) -> None:
    subprocess.run(["git", "symbolic-ref", "HEAD", "refs/heads/main"], cwd=root, check=True)


def _main_at_the_remote(root: Path) -> None:
    """As a machine of CI has it: fetched, and no HEAD of the remote."""
    subprocess.run(["git", "update-ref", "refs/remotes/origin/main", "HEAD"], cwd=root, check=True)


def _in_the_settings(root: Path) -> None:
    (root / "builder.toml").write_text('[image]\nbase = "scratch"\n[ci]\nbranch = "main"\n')


@pytest.mark.parametrize("make", [_main_here, _main_unborn, _main_at_the_remote, _in_the_settings])
def test_a_branch_that_is_none_is_not_warned_of(root: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], None]) -> None:
    track(root, builder_toml='[image]\nbase = "scratch"\n')
    commit(root)
    make(root)
    assert frame.run(["init", "--ci", "github"]) == 0
    assert "nightlies" not in capsys.readouterr().err
    assert "refs/heads/main" in (root / FILES["github"][0]).read_text()


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_it_says_what_jobs_install(root: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    track(root, builder_toml='[image]\nbase = "scratch"\n')
    assert frame.run(["init", "--ci", "github", *words]) == 0
    said = capsys.readouterr().err
    assert f"`pip install anycommit=={__version__}`" in said
    assert "set [ci] install" in said
    (root / "builder.toml").write_text('[ci]\ninstall = "--requirement=ci/builder.txt"\n')
    assert frame.run(["init", "--ci", "github", "--force", *words]) == 0
    assert "`pip install --requirement=ci/builder.txt`: [ci] install says so" in capsys.readouterr().err


def _link(root: Path) -> None:
    (root / ".github").symlink_to("nowhere")


def _file(root: Path) -> None:
    (root / ".github").touch()


@pytest.mark.parametrize(("make", "words"), [(_link, "is a link to nowhere, which is not there"), (_file, "is no directory")])
def test_what_is_in_the_way_is_named_before_anything_is_written(
    root: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], None], words: str
) -> None:
    make(root)
    before = written(root)
    assert frame.run(["init", "--ci", "github", "--force"]) == 2
    assert f"{root / '.github'} {words}" in capsys.readouterr().err
    assert written(root) == before, "no settings either"


def test_a_file_that_is_a_link_to_nothing_is_there(root: Path) -> None:
    (root / ".circleci").mkdir()
    (root / FILES["circleci"][0]).symlink_to("nowhere")
    assert frame.run(["init", "--ci", "circleci"]) == 2
    assert frame.run(["init", "--ci", "circleci", "--force"]) == 0
    assert "builder image" in (root / FILES["circleci"][0]).read_text()
