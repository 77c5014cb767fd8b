"""The jobs of a repository, whoever runs them. Each step is one command of builder: what it decides is decided there, not in YAML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from builder import __version__
from builder.settings import Settings

COMMIT = "{commit}"
"""In a command: the commit that the job is for. Each provider has a variable for it."""

MAGIC = "Magic build: an image for every commit"
PATIENCE = 60
"""Minutes for which the image's job waits for a base or dependencies: a Dockerfile that compiles takes its time."""

Machine = Literal["light", "docker", "caching"]
"""A container with Python and git; a machine with Docker; one that keeps the layers of earlier builds."""

Rights = Literal["images", "deploy", "housekeep"]
"""Which of the three roles a job has: it reads and writes images; it deploys; it clears away."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command, with the name that people see."""

    name: str
    command: str


@dataclass(frozen=True, slots=True)
class Job:
    """Steps in a clean checkout, with builder installed. `needs` are jobs that must have succeeded. After `minutes` it is hung.

    `branch`: only for commits of this branch. `alone`: never two at once, whatever the commits. `env` is set for its steps. `reads`: of
    images it only reads. `tells`: it writes to the forge what became of commits.
    """

    name: str
    about: str
    steps: tuple[Step, ...]
    machine: Machine
    minutes: int
    rights: Rights = "images"
    needs: tuple[str, ...] = ()
    branch: str = ""
    alone: bool = False
    env: tuple[tuple[str, str], ...] = ()
    reads: bool = False
    tells: bool = False


@dataclass(frozen=True, slots=True)
class Pipeline:
    """`jobs` run for every push, in an order in which each comes after what it needs; `scheduled` run by `cron` (UTC) alone.

    `install` is what pip installs. `groups` names, for each kind of rights, the group of variables that carries them.
    """

    jobs: tuple[Job, ...]
    scheduled: tuple[Job, ...]
    cron: str
    install: str
    groups: dict[Rights, str]


def pipeline_of(settings: Settings, branch: str) -> Pipeline:
    """What the settings ask for: no job for a base that is none, none for dependencies that the image's job makes without Docker.

    `branch` is the repository's default one, for settings that name none.
    """
    ci = settings.ci
    below = _below(settings)
    return Pipeline(
        jobs=(*below, _image(below), _test(), _deploy(ci.branch or branch)),
        scheduled=(_housekeep(),),
        cron=ci.cron,
        install=ci.install or f"anycommit=={__version__}",
        groups={"images": ci.images, "deploy": ci.deploy, "housekeep": ci.housekeep},
    )


def _below(settings: Settings) -> tuple[Job, ...]:
    """What lies below the code, and must be in the registry before it: a base that is copied there, and what a Dockerfile makes of it."""
    image = settings.image
    if image.base == "scratch":
        return ()
    base = Job(
        "base",
        "Copies the base image into the repository of the images, without Docker. Mostly it is there already: then this is one request.",
        (Step("The base, once", "builder base mirror"),),
        "light",
        120,
    )
    if image.deps is None or not image.deps.dockerfile:
        return (base,)
    deps = Job(
        "deps",
        "Builds the Dockerfile of the dependencies, for inputs that are new. Mostly none are: then this is one request.",
        (Step("The dependencies, once for their inputs", "builder deps --missing"),),
        "caching",
        120,
        needs=("base",),
    )
    return base, deps


def _image(below: tuple[Job, ...]) -> Job:
    waits = " It does not stand behind the jobs above: it waits only when it lacks what they bring." if below else ""
    return Job(
        "image",
        "Makes the images of this commit and of those before it that have none: a minute at most, without Docker." + waits,
        (Step(MAGIC, "builder image --missing -o json --report"),),
        "light",
        PATIENCE + 30,
        env=(("BUILDER_CI_WAIT", f"{PATIENCE}m"),) if below else (),
        tells=True,
    )


def _test() -> Job:
    return Job(
        "test",
        "Runs the command of [ci] test in the image of this commit, by digest.",
        (Step("The tests, in the image itself", f"builder test --commit {COMMIT}"),),
        "docker",
        120,
        needs=("image",),
        reads=True,
    )


def _deploy(branch: str) -> Job:
    return Job(
        "deploy-nightly",
        "Points what runs every night at this commit.",
        (Step("Tonight this commit", f"builder deploy --commit {COMMIT}"),),
        "light",
        30,
        "deploy",
        needs=("test",),
        branch=branch,
        alone=True,
        reads=True,
    )


def _housekeep() -> Job:
    return Job(
        "housekeep",
        "Clears away what nothing needs any more.",
        (Step("What no run needs", "builder run housekeep"), Step("What nobody needs", "builder gc --yes")),
        "light",
        120,
        "housekeep",
        alone=True,
    )
