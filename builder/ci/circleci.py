"""The jobs as CircleCI reads them. https://circleci.com/docs/reference/configuration-reference/"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from builder.ci.pipeline import COMMIT, Job, Machine, Pipeline, Step
from builder.ci.text import comment, flow, indented, inside, scalar

FILE = ".circleci/config.yml"
SCHEDULE = "housekeep"
"""The name of the schedule trigger, which is made in the project's settings: a file cannot."""

_COMMIT = "$CIRCLE_SHA1"
_UBUNTU = ("image", "ubuntu-2404:current")
_EXECUTORS: Mapping[Machine, Sequence[str]] = {
    "light": ("docker: [{ image: cimg/python:3.12 }]", "resource_class: small"),
    "docker": (f"machine: {flow([_UBUNTU])}", "resource_class: medium"),
    "caching": (f"machine: {flow([_UBUNTU, ('docker_layer_caching', 'true')])}".replace('"true"', "true"), "resource_class: large"),
}
_BY_SCHEDULE = f"and: [equal: [scheduled_pipeline, << pipeline.trigger_source >>], equal: [{SCHEDULE}, << pipeline.schedule.name >>]]"


def files(pipeline: Pipeline) -> dict[str, str]:
    """The one file."""
    jobs = (*pipeline.jobs, *pipeline.scheduled)
    parts = [
        [*_head(pipeline), "version: 2.1"],
        _executors(jobs),
        _prepare(pipeline),
        ["jobs:", *(line for job in jobs for line in indented(_job(job), 2))],
        ["workflows:", *indented(_workflows(pipeline), 2)],
    ]
    return {FILE: "\n\n".join("\n".join(part) for part in parts) + "\n"}


def _head(pipeline: Pipeline) -> Iterator[str]:
    groups = pipeline.groups
    yield "# An image for every commit. `builder init --ci circleci` wrote this; each step is one command of builder."
    yield "#"
    yield "# Contexts, which carry who a job is (AWS_ROLE_ARN and AWS_REGION of a role that CircleCI's tokens may assume: no keys):"
    yield f"#   {groups['images']}: reads and writes images; and, so that commits and pull requests are told of theirs, GITHUB_TOKEN"
    yield f"#   {groups['deploy']}: reads images and the data root, and KUBECONFIG: a kubeconfig of this repository, without secrets"
    yield f"#   {groups['housekeep']}: the same, and may delete"
    when = f"`{pipeline.cron}`" if pipeline.scheduled else ""
    yield f"# In the project's settings: a schedule trigger with the name `{SCHEDULE}` ({when} is proposed), on the default branch."


def _executors(jobs: Sequence[Job]) -> Iterator[str]:
    yield "executors:"
    used = {job.machine for job in jobs}
    for name, lines in _EXECUTORS.items():
        if name in used:
            yield f"  {name}:"
            yield from indented(lines, 4)


def _prepare(pipeline: Pipeline) -> Iterator[str]:
    yield "commands:"
    yield "  prepare:"
    yield "    steps:"
    yield "      - checkout: { method: blobless }"
    yield from indented(_step(Step("Install builder", f"pip install --quiet --no-compile {pipeline.install}")), 6)


def _job(job: Job) -> Iterator[str]:
    yield from comment(job.about)
    yield f"{job.name}:"
    yield f"  executor: {job.machine}"
    if job.env:
        yield f"  environment: {flow(job.env)}"
    yield "  steps:"
    yield "    - prepare"
    for step in job.steps:
        yield from indented(_step(step), 4)


def _step(step: Step) -> Iterator[str]:
    yield "- run:"
    yield f"    name: {scalar(step.name)}"
    yield f"    command: {scalar(step.command.replace(COMMIT, _COMMIT))}"


def _workflows(pipeline: Pipeline) -> Iterator[str]:
    yield "commits:"
    yield "  when: { not: { equal: [scheduled_pipeline, << pipeline.trigger_source >>] } }"
    yield "  jobs:"
    for job in pipeline.jobs:
        yield from indented(_called(job, pipeline), 4)
    yield f"{SCHEDULE}:"
    yield f"  when: {{ {_BY_SCHEDULE} }}"
    yield "  jobs:"
    for job in pipeline.scheduled:
        yield from indented(_called(job, pipeline), 4)


def _called(job: Job, pipeline: Pipeline) -> Iterator[str]:
    yield f"- {job.name}:"
    yield f"    context: {scalar(pipeline.groups[job.rights])}"
    if job.needs:
        yield f"    requires: [{', '.join(job.needs)}]"
    if job.alone:
        yield f"    serial-group: << pipeline.project.slug >>/{job.name}"
    if job.branch:
        yield f"    filters: {{ branches: {{ only: {inside(job.branch)} }} }}"
