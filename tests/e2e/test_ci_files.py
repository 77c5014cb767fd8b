"""The files that `builder init --ci` writes, executed: job by job, in clean directories, with a real remote, registry and cluster."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fixtures.ci_circleci import run_circleci
from tests.fixtures.ci_github import run_github
from tests.fixtures.ci_machine import Event, Provider, Ran
from tests.fixtures.github import REPOSITORY, TOKEN, GitHubState, PullRequest, github_on
from tests.fixtures.team import Team

pytestmark = [pytest.mark.cluster, pytest.mark.docker, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
FILES = {"circleci": (".circleci/config.yml", run_circleci), "github": (".github/workflows/builder.yml", run_github)}
SETTINGS = """
[schedule.nightly]
flow = "finetune"
cron = "0 2 * * *"

[run.docker]
network = "none"

[forge]
url = "{forge}"
repository = "{repository}"

[ci]
install = "{wheel}"
test = ["python", "-c", "{test}"]
"""
TEST = "import os, pathlib, agent.train; print('commit', os.environ['BUILDER_COMMIT'], pathlib.Path('/opt/packages').read_text())"
DEPS = '\n[image.deps]\ndockerfile = "deps/Dockerfile"\ncontext = ["deps/packages"]\n'
DOCKERFILE = "ARG BASE\nFROM ${BASE}\nCOPY deps/packages /opt/packages\n"


@dataclass
class Pushed:
    """A team whose commits go to a remote, and what its provider does about them."""

    team: Team
    provider: Provider
    run: Callable[[Path, Provider, Event], None]
    file: str
    forge: GitHubState

    def push(self, branch: str) -> Event:
        self.team.git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}")
        self.forge.commits |= set(self.team.git("rev-list", "HEAD").split())
        return self.start(Event(branch, self.team.git("rev-parse", "HEAD")))

    def start(self, event: Event) -> Event:
        self.provider.ran.clear()
        self.provider.jobs.clear()
        shutil.rmtree(self.provider.scratch, ignore_errors=True)
        self.run(self.team.repository / self.file, self.provider, event)
        bad = [ran for ran in self.provider.ran if ran.code]
        assert not bad, "\n".join(f"{ran.job}: {ran.command} ended with {ran.code}:\n{ran.stdout}{ran.stderr}" for ran in bad)
        return event

    def ran(self, job: str) -> Ran:
        """The last command of the job, which is builder's."""
        return [ran for ran in self.provider.ran if ran.job == job][-1]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    words = ["-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)
    (found,) = directory.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `cimg/python` and GitHub's machines have: a Python with pip. What builder needs is there, to save time; builder is not."""
    directory = tmp_path_factory.mktemp("python")
    uv = [str(Path(sys.executable).with_name("uv")), "--quiet"]
    subprocess.run([*uv, "venv", "--seed", "--python", sys.executable, str(directory)], check=True)
    requirements = ["--requirement", str(ROOT / "requirements.txt")]
    subprocess.run([*uv, "pip", "install", "--python", str(directory / "bin/python"), *requirements], check=True)
    return directory / "bin"


@pytest.fixture
def forge() -> Iterator[GitHubState]:
    with github_on("127.0.0.1") as state:
        yield state


@pytest.fixture(params=FILES)
def pushed(
    request: pytest.FixtureRequest,
    team: Team,
    forge: GitHubState,
    wheel: Path,
    python: Path,
    tmp_path: Path,
    docker_cli: str,
    docker_host: str,
) -> Pushed:
    file, run = FILES[request.param]
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(remote)], check=True)
    for name in ("allowFilter", "allowAnySHA1InWant"):
        subprocess.run(["git", "-C", str(remote), "config", f"uploadpack.{name}", "true"], check=True)
    team.git("remote", "add", "origin", str(remote))
    team.ok("image")  # the commits before it have no dependencies
    toml = team.repository / "builder.toml"
    toml.write_text(
        toml.read_text().replace("\n[store]", DEPS + "\n[store]")
        + SETTINGS.format(wheel=wheel, test=TEST, forge=forge.api, repository=REPOSITORY)
    )
    team.write({"deps/Dockerfile": DOCKERFILE, "deps/packages": "one"})
    team.ok("init", "--ci", request.param)
    team.commit("Have every commit built")
    data = {name: value for name, value in team.environ.items() if name.startswith("AWS_")}
    groups = {name: {**data, "KUBECONFIG": team.environ["KUBECONFIG"]} for name in ("builder-deploy", "builder-housekeep")}
    groups["builder-images"] = {"GITHUB_TOKEN": TOKEN}
    keep = {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache/uv")}
    provider = Provider(remote, tmp_path / "machines", python, (docker_cli, docker_host), groups, keep)
    return Pushed(team, provider, run, file, forge)


def test_each_job_does_what_it_says(pushed: Pushed) -> None:
    team = pushed.team
    built = team.git("rev-parse", "HEAD~")
    team.commit("Say more", {"notes.txt": "some\n"})
    first = pushed.push("main")
    assert pushed.provider.jobs == ["base", "deps", "image", "test", "deploy-nightly"]
    commits = team.git("rev-list", "--first-parent", "--reverse", f"{built}..main").split()
    assert len(commits) == 2
    images = json.loads(pushed.ran("image").stdout)
    assert [image["commit"] for image in images] == commits
    assert f"commit {first.sha} one" in pushed.ran("test").stdout
    digest = images[-1]["digest"]
    state, text = pushed.forge.described(first.sha)
    assert (state, digest[:12] in text) == ("success", True), text
    assert digest in pushed.ran("test").stderr
    cron = team.get("cronworkflow", "nightly")
    template = team.get("workflowtemplate", cron["spec"]["workflowSpec"]["workflowTemplateRef"]["name"])
    assert template["metadata"]["labels"]["builder/commit"] == first.sha
    assert digest in json.dumps(template["spec"])

    again = pushed.start(first)
    assert again == first
    for job in ("base", "deps", "image", "deploy-nightly"):
        assert "nothing to do" in pushed.ran(job).stderr or "no commit is without an image" in pushed.ran(job).stderr, pushed.ran(job)
    assert json.loads(pushed.ran("image").stdout) == []

    team.git("checkout", "--quiet", "-b", "work")
    team.commit("Need more", {"deps/packages": "two"})
    second = team.git("rev-parse", "HEAD")
    third = team.commit("Use it", {"notes.txt": "more\n"})
    pushed.forge.pulls[7] = PullRequest(7, "work", [(second, "Need more"), (third, "Use it")])
    pushed.push("work")
    assert pushed.provider.jobs == ["base", "deps", "image", "test"], "only the default branch is deployed"
    assert [image["commit"] for image in json.loads(pushed.ran("image").stdout)] == [second, third]
    assert f"commit {third} two" in pushed.ran("test").stdout
    (comment,) = pushed.forge.texts(7)
    assert {second[:7], third[:7]} <= set(re.findall(r"[0-9a-f]{7}", comment))
    assert team.get("cronworkflow", "nightly")["spec"] == cron["spec"]

    pushed.start(Event("main", first.sha, scheduled=True))
    assert pushed.provider.jobs == ["housekeep"]
    assert "builder gc --yes" in [ran.command for ran in pushed.provider.ran]
