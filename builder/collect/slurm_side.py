"""What the jobs of Slurm need that wait or run, whoever submitted them: the image that a job's own script names, and that of its run.

A script lies in the job's directory, from before it is submitted. Of a job that this tool submitted, and whose script nobody here may read,
the ledger must know the run: else nobody knows what it needs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from builder.collect.needs import JOBS, Needs, Reason
from builder.errors import LaunchError
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.survey import Listed, clusters, survey
from builder.model.units import plural
from builder.settings import Settings

_PATIENCE = 60.0  # seconds for a bastion
_OURS = re.compile(r"(?P<run>[^./]+)\.[^/]+-a\d+\Z")

# A digest or a commit wherever a file of the job has one; `?` where its script cannot be read.
_READ = """while IFS= read -r -d '' place; do
  [ -r "$place/script" ] && printf '= ' || printf '? '
  grep -aohsE -d skip 'sha256:[0-9a-f]{64}|BUILDER_COMMIT=[0-9a-f]{40}' "$place"/* 2>/dev/null | sort -u | tr '\\n' ' '
  printf '\\0'
done"""


def job_needs(settings: Settings) -> Iterator[tuple[Needs, dict[str, Listed]]]:
    """Of every cluster that the settings know; and the runs of those jobs of which only a ledger can say what they need.

    Raises LaunchError, AuthError naming the bastion that does not answer.
    """
    for known in clusters(settings).values():
        bastion = Bastion(known[0], _PATIENCE)
        try:
            yield _of_cluster(bastion, [slurm.root for slurm in known])
        finally:
            bastion.close()


def _of_cluster(bastion: Bastion, roots: Sequence[str]) -> tuple[Needs, dict[str, Listed]]:
    _, jobs = survey(bastion, roots)
    ours = [(match["run"], job) for job in jobs if (match := _OURS.match(job.name))]
    needs, unread = Needs(), {}
    for (run, job), (is_read, named) in zip(ours, _scripts(bastion, [job.directory for _, job in ours]), strict=True):
        why = f"job {job.id} of {run} {'waits' if job.is_waiting else 'runs'} in Slurm"
        needs.runs.setdefault(run, Reason(JOBS, why))
        for word in named:
            (needs.digest if word.startswith("sha256:") else needs.commit)(word.removeprefix("BUILDER_COMMIT="), JOBS, why)
        if not is_read:
            unread[run] = job
    needs.said.append(f"Slurm at {bastion.name}: {plural(len(jobs), 'job')}, {len(ours)} of them with images of builder")
    return needs, unread


def _scripts(bastion: Bastion, places: Sequence[str]) -> Iterator[tuple[bool, list[str]]]:
    if not places:
        return
    names = b"".join(place.encode("utf-8", "surrogateescape") + b"\0" for place in places)
    said = bastion.ask(f"bash -c {shlex.quote(_READ)}", names)
    answers = said.text.split("\0")[:-1]
    if said.code != 0 or len(answers) != len(places):
        raise LaunchError(f"{bastion.name}: the scripts of jobs cannot be read: {said.error or 'the connection broke off'}")
    for answer in answers:
        mark, *named = answer.split()
        yield mark == "=", named


def refuse_unknown(unread: dict[str, Listed], known: Needs) -> None:
    """Raises LaunchError for a job of which neither its script nor the ledger says what it needs."""
    for run, job in unread.items():
        if run not in known.known_runs:
            unknown = f"its script in {job.directory} cannot be read, and the ledger has no such run"
            text = f"job {job.id} of {run}, by {job.user}, may need an image: {unknown}"
            raise LaunchError(text, "run it with an account that may read it, or when the job has ended")
