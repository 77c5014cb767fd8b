"""What CI does, for settings of any kind: the providers' own schemas accept the files, and each step is a command that exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from builder.ci import PROVIDERS, pipeline_of, render
from builder.ci.pipeline import MAGIC
from builder.cli import frame
from builder.settings import CiSettings, DepsSettings, ImageSettings, Settings, load, seconds

ROOT = Path(__file__).parents[3]
BASE = "nvcr.io/nvidia/pytorch@sha256:" + "a" * 64
SCHEMAS = {"circleci": "vendor.circle-ci", "github": "vendor.github-workflows"}
WITH_ALL = Settings(image=ImageSettings(base=BASE, deps=DepsSettings(dockerfile="Dockerfile")))
WITH_LOCK = Settings(image=ImageSettings(base=BASE, deps=DepsSettings(lock="requirements.lock")))
ON_NOTHING = Settings(image=ImageSettings(base="scratch"))
HOSTILE = 'it\'s: {a} # [b], "c" && true'


def check(provider: str, *files: Path) -> None:
    """As anybody can: https://www.schemastore.org."""
    words = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", SCHEMAS[provider], *map(str, files)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def write(directory: Path, settings: Settings, provider: str, branch: str = "main") -> list[Path]:
    files = []
    for path, text in render(pipeline_of(settings, branch), provider).items():
        files.append(directory / path)
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        files[-1].write_text(text)
    return files


def commands(value: Any) -> list[str]:
    """Every shell command of a file, wherever it stands."""
    if isinstance(value, dict):
        own = [value[key] for key in ("command", "run") if isinstance(value.get(key), str)]
        return own + [one for inner in value.values() for one in commands(inner)]
    return [one for inner in value for one in commands(inner)] if isinstance(value, list) else []


def names(settings: Settings) -> list[str]:
    return [job.name for job in pipeline_of(settings, "main").jobs]


def test_jobs_are_those_that_the_settings_need() -> None:
    assert names(WITH_ALL) == ["base", "deps", "image", "test", "deploy-nightly"]
    assert names(Settings()) == ["base", "image", "test", "deploy-nightly"]
    assert names(WITH_LOCK) == ["base", "image", "test", "deploy-nightly"]
    assert names(ON_NOTHING) == ["image", "test", "deploy-nightly"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_comes_after_what(tmp_path: Path, provider: str) -> None:
    """Nothing is tested without its image, and nothing is deployed untested; the image stands behind nothing."""
    config = yaml.safe_load(write(tmp_path, WITH_ALL, provider)[0].read_text())
    if provider == "circleci":
        called = {name: options for job in config["workflows"]["commits"]["jobs"] for name, options in job.items()}
        needs = {name: options.get("requires", []) for name, options in called.items()}
    else:
        needs = {name: job.get("needs", []) for name, job in config["jobs"].items()}
    assert needs == {"base": [], "deps": ["base"], "image": [], "test": ["image"], "deploy-nightly": ["test"]}


def test_the_image_waits_for_nobody_where_nobody_brings_anything() -> None:
    (image,) = [job for job in pipeline_of(ON_NOTHING, "main").jobs if job.name == "image"]
    assert (image.needs, image.env, image.machine) == ((), (), "light")
    (image,) = [job for job in pipeline_of(WITH_ALL, "main").jobs if job.name == "image"]
    assert (image.needs, image.env) == ((), (("BUILDER_CI_WAIT", "60m"),))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("settings", [WITH_ALL, WITH_LOCK, ON_NOTHING])
def test_the_public_schema_accepts_them(tmp_path: Path, provider: str, settings: Settings) -> None:
    check(provider, *write(tmp_path, settings, provider))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_branch_of_any_name(tmp_path: Path, provider: str) -> None:
    files = write(tmp_path, WITH_ALL, provider, HOSTILE)
    check(provider, *files)
    config = yaml.safe_load(files[0].read_text())
    if provider == "circleci":
        (deploy,) = [job["deploy-nightly"] for job in config["workflows"]["commits"]["jobs"] if "deploy-nightly" in job]
        assert deploy["filters"] == {"branches": {"only": HOSTILE}}
    else:
        assert config["jobs"]["deploy-nightly"]["if"] == "github.ref == 'refs/heads/" + HOSTILE.replace("'", "''") + "'"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_step_is_one_command_that_there_is(tmp_path: Path, provider: str) -> None:
    found = [one for file in write(tmp_path, WITH_ALL, provider) for one in commands(yaml.safe_load(file.read_text()))]
    assert len(found) >= 7
    for text in found:
        assert not re.search(r"[|;&<>`\n]|\$\(|\bif\b", text), f"logic: {text}"
        words = shlex.split(text)
        if words[0] == "pip":
            continue
        assert words[0] == "builder"
        parse(words[1:])


def parse(words: list[str]) -> None:
    """Raises click.UsageError for an option or a command that is not there."""
    command: Any = frame.root
    with click.Context(command, info_name="builder", obj=frame.Flags()) as context:
        while isinstance(command, click.Group):
            name, command, words = command.resolve_command(context, words)
            assert command is not None, name
        command.make_context(words[0] if words else "", list(words), parent=context)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_was_agreed_on(tmp_path: Path, provider: str) -> None:
    """The name of the step, no keys, and who may what."""
    text = "\n".join(file.read_text() for file in write(tmp_path, WITH_ALL, provider))
    assert f'name: "{MAGIC}"' in text
    assert "builder image --missing -o json" in text
    assert "blob:none" in text or "method: blobless" in text
    assert not re.search(r"ACCESS_KEY|SECRET_ACCESS|PASSWORD|secrets\.(?!GITHUB_TOKEN)", text)
    for group in ("builder-deploy", "builder-housekeep"):
        assert group in text
    assert "serial-group" in text or "concurrency" in text


def test_settings_have_their_say(tmp_path: Path) -> None:
    ours = CiSettings(
        branch="trunk", images="a", deploy="b", housekeep="c", install="https://packages.example/anycommit.whl", cron="1 2 * * 3"
    )
    circleci, github = (
        "\n".join(render(pipeline_of(replace(WITH_ALL, ci=ours), "main"), provider).values()) for provider in ("circleci", "github")
    )
    assert "only: trunk" in circleci
    assert {"context: a", "context: b", "context: c"} <= {line.strip() for line in circleci.splitlines()}
    for text in (circleci, github):
        assert "pip install --quiet --no-compile https://packages.example/anycommit.whl" in text
        assert "1 2 * * 3" in text
    assert "environment: b" in github


def github_jobs(tmp_path: Path) -> dict[str, Any]:
    files = [yaml.safe_load(file.read_text()) for file in write(tmp_path, WITH_ALL, "github")]
    return {name: job for file in files for name, job in file["jobs"].items()}


def test_a_job_of_github_may_what_it_needs_and_no_more(tmp_path: Path) -> None:
    both = {"contents": "read", "id-token": "write"}
    reads, writes = {**both, "packages": "read"}, {**both, "packages": "write"}
    assert {name: job["permissions"] for name, job in github_jobs(tmp_path).items()} == {
        "base": writes,
        "deps": writes,
        "image": {**writes, "statuses": "write", "pull-requests": "write"},
        "test": reads,
        "deploy-nightly": reads,
        "housekeep": writes,
    }


def test_the_token_is_not_there_while_pip_runs(tmp_path: Path) -> None:
    for name, job in github_jobs(tmp_path).items():
        assert "GITHUB_TOKEN" not in job["env"], name
        for step in [step for step in job["steps"] if "run" in step]:
            assert ("GITHUB_TOKEN" in step.get("env", {})) is step["run"].startswith("builder "), (name, step)


def test_no_job_of_github_hangs_for_six_hours(tmp_path: Path) -> None:
    minutes = {name: job["timeout-minutes"] for name, job in github_jobs(tmp_path).items()}
    assert all(10 <= each <= 180 for each in minutes.values()), minutes
    (image,) = [job for job in pipeline_of(WITH_ALL, "main").jobs if job.name == "image"]
    assert minutes["image"] * 60 > seconds(dict(image.env)["BUILDER_CI_WAIT"]), "it may wait, and make its image then"


def test_only_jobs_that_need_docker_have_it(tmp_path: Path) -> None:
    jobs = yaml.safe_load(write(tmp_path, WITH_ALL, "circleci")[0].read_text())["jobs"]
    executors = {name: job["executor"] for name, job in jobs.items()}
    assert {name for name, executor in executors.items() if executor != "light"} == {"deps", "test"}


@pytest.mark.parametrize("install", [f"https://x.example/anycommit-1-py3-none-any.whl#sha256={'a' * 64}", "--requirement=ci/builder.txt"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_installed_may_be_named_by_its_hash(tmp_path: Path, provider: str, install: str) -> None:
    """As docs/how-to/ci.md has it: the shell of the job hands pip the whole word."""
    (tmp_path / "builder.toml").write_text(f'[ci]\ninstall = "{install}"\n')
    file = write(tmp_path, load(tmp_path, {}), provider)[0]
    (text, *_) = [one for one in commands(yaml.safe_load(file.read_text())) if one.startswith("pip ")]
    said = subprocess.run(["bash", "-c", f"pip() {{ printf '%s\\n' \"$@\"; }}; {text}"], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == install


def test_the_file_for_opened_pull_requests_in_the_docs(tmp_path: Path) -> None:
    """It is to be copied: the schema accepts it, what it runs is there, and it is no `pull_request_target`."""
    text = (ROOT / "docs/how-to/pull-requests.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    file = tmp_path / ".github/workflows/builder-pulls.yml"
    file.parent.mkdir(parents=True)
    file.write_text(block)
    check("github", file)
    config = yaml.load(block, yaml.BaseLoader)
    assert config["on"] == {"pull_request": {"types": ["opened", "reopened"]}}
    (job,) = config["jobs"].values()
    assert job["steps"][0]["with"]["ref"] == "${{ github.event.pull_request.head.sha }}", "and no merge that nobody pushed"
    for words in [shlex.split(one) for one in commands(config) if one.startswith("builder ")]:
        parse(words[1:])
    generated = yaml.safe_load(write(tmp_path, ON_NOTHING, "github")[0].read_text())["jobs"]["image"]
    assert job["permissions"] == generated["permissions"]


@pytest.mark.parametrize("install", ["anycommit; rm -rf /", "$(x)", "a b", "`x`", "a'b", 'a"b', "a>b"])
def test_what_is_installed_is_one_word(tmp_path: Path, install: str) -> None:
    import json

    from builder.errors import SettingsError

    (tmp_path / "builder.toml").write_text(f"[ci]\ninstall = {json.dumps(install)}\n")
    with pytest.raises(SettingsError, match=r"ci\.install: expected one word"):
        load(tmp_path, {})


def test_this_projects_own_file_runs_the_same_commands() -> None:
    """On the example; those that need a cluster are executed by tests/e2e/test_ci_files.py."""
    file = ROOT / ".circleci/config.yml"
    check("circleci", file)
    config = yaml.safe_load(file.read_text())
    assert config["workflows"]["check"]["jobs"] == ["check", "example"]
    assert any(".ci/run" in command for command in commands(config["jobs"]["check"]))
    ours = [command for command in commands(config["jobs"]["example"]) if command.startswith("builder ")]
    jobs = [job for job in pipeline_of(WITH_ALL, "main").jobs if job.rights == "images"]
    assert ours == [step.command.partition(" --commit")[0].removesuffix(" --report") for job in jobs for step in job.steps]
