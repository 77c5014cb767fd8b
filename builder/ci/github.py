"""The jobs as GitHub Actions reads them. https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from builder.ci.pipeline import COMMIT, Job, Pipeline, Step
from builder.ci.text import comment, flow, indented, scalar

FILE = ".github/workflows/builder.yml"
SCHEDULED_FILE = ".github/workflows/builder-housekeep.yml"

_COMMIT = "$GITHUB_SHA"
_WHO = (
    ("AWS_ROLE_ARN", "${{ vars.AWS_ROLE_ARN }}"),
    ("AWS_REGION", "${{ vars.AWS_REGION }}"),
)
"""The role of a registry at AWS: no secrets."""

_CLUSTER = ("KUBECONFIG", "${{ vars.KUBECONFIG }}")
_TOKEN = ("GITHUB_TOKEN", "${{ secrets.GITHUB_TOKEN }}")
"""Of this very job: it opens GitHub's own registry (ghcr.io), and tells of images. What pip runs has no use for it."""


def files(pipeline: Pipeline) -> dict[str, str]:
    """One for pushes and one for the schedule: so no job needs to ask why it was started."""
    pushed = ["  push:", '    branches: ["**"]']
    scheduled = ["  schedule:", f"    - cron: {scalar(pipeline.cron)}", "  workflow_dispatch:"]
    return {
        FILE: _file("builder", pushed, pipeline.jobs, pipeline, _head(pipeline)),
        SCHEDULED_FILE: _file("builder housekeep", scheduled, pipeline.scheduled, pipeline, _scheduled_head(pipeline)),
    }


def _head(pipeline: Pipeline) -> Iterator[str]:
    yield "# An image for every commit. `builder init --ci github` wrote this; each step is one command of builder."
    yield "#"
    yield "# Variables of the repository, and of the environment " + pipeline.groups["deploy"] + " for the job that deploys:"
    yield "#   AWS_ROLE_ARN, AWS_REGION: a role that GitHub's tokens may assume, for a registry and a data root at AWS: no keys"
    yield "#   KUBECONFIG: a kubeconfig of this repository, without secrets"
    yield "# Images in ghcr.io need no variables: the token of the job opens it."


def _scheduled_head(pipeline: Pipeline) -> Iterator[str]:
    yield "# Clears away what nothing needs any more. `builder init --ci github` wrote this; each step is one command of builder."
    yield f"# AWS_ROLE_ARN, AWS_REGION and KUBECONFIG are variables of the environment {pipeline.groups['housekeep']}."


def _file(name: str, on: Sequence[str], jobs: Sequence[Job], pipeline: Pipeline, head: Iterator[str]) -> str:
    parts = [
        [*head, f"name: {name}"],
        ["on:", *on],
        ["permissions: { contents: read }"],
        ["jobs:", *(line for job in jobs for line in indented(_job(job, pipeline), 2))],
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _job(job: Job, pipeline: Pipeline) -> Iterator[str]:
    yield from comment(job.about)
    yield f"{job.name}:"
    yield from indented(_when(job, pipeline), 2)
    yield "  runs-on: ubuntu-latest"
    yield f"  timeout-minutes: {job.minutes}"
    yield f"  permissions: {flow(_permissions(job))}"
    yield "  env:"
    variables = (*_WHO, *((_CLUSTER,) if job.rights != "images" else ()), *job.env)
    yield from indented((f"{name}: {scalar(value)}" for name, value in variables), 4)
    yield "  steps:"
    yield "    - uses: actions/checkout@v6"
    yield '      with: { fetch-depth: 0, filter: "blob:none" }'
    yield "    - uses: actions/setup-python@v6"
    yield '      with: { python-version: "3.12" }'
    yield from indented(_step(Step("Install builder", f"pip install --quiet --no-compile {pipeline.install}")), 4)
    for step in job.steps:
        yield from indented(_step(step), 4)
        yield f"      env: {flow([_TOKEN])}"


def _step(step: Step) -> Iterator[str]:
    yield f"- name: {scalar(step.name)}"
    yield f"  run: {scalar(step.command.replace(COMMIT, _COMMIT))}"


def _when(job: Job, pipeline: Pipeline) -> Iterator[str]:
    if job.needs:
        yield f"needs: [{', '.join(job.needs)}]"
    if job.branch:
        ref = f"refs/heads/{job.branch}".replace("'", "''")
        yield "if: " + scalar(f"github.ref == '{ref}'")
    if job.rights != "images":
        yield f"environment: {scalar(pipeline.groups[job.rights])}"
    if job.alone:
        yield f"concurrency: {flow([('group', job.name), ('cancel-in-progress', 'false')])}".replace('"false"', "false")


def _permissions(job: Job) -> Iterator[tuple[str, str]]:
    yield from (("contents", "read"), ("id-token", "write"), ("packages", "read" if job.reads else "write"))
    if job.tells:
        yield from (("statuses", "write"), ("pull-requests", "write"))
