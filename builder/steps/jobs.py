"""The job of Slurm that a step has, as its record in the ledger keeps it, and in words.

id, name, state, reason, partition, place, waiting, starts, nodes: as in builder/launch/slurm/states.py; `cluster` is the bastion,
`log` the file there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder.launch.slurm.states import WAITING, JobState
from builder.steps.outcome import Records, steps_of

JOB = "job"
"""Where the record has it."""

NOT_PINNED = "not pinned"
"""What a record says of the environment of a command that runs with what a cluster has installed."""

GANG = "gang"
"""Where a record has how its gang of pods stands, in words."""

_KEPT = ("id", "name", "state", "reason", "partition", "place", "waiting", "starts", "nodes")
_ORDINARY = ("", "Priority", "Resources")
"""Reasons of Slurm's that mean no more than that others come first."""


def record_of(job: JobState, cluster: str, log: str) -> dict[str, Any]:
    return {**{name: getattr(job, name) for name in _KEPT}, "cluster": cluster, "log": log}


def jobs_of(records: Records) -> dict[str, Mapping[str, Any]]:
    """Of the steps that have one with a number, in the order in which they began."""
    return {step: record[JOB] for step, record in steps_of(records).items() if record.get(JOB, {}).get("id")}


def environments_of(records: Records) -> dict[str, str]:
    """Of the steps that ran elsewhere than in the commit's image: in which they did, by digest; or, in words, that nothing pins it."""
    found = {step: str(record["environment"]) for step, record in steps_of(records).items() if record.get("environment")}
    return {step: "environment not pinned" if said == NOT_PINNED else said for step, said in found.items()}


def is_waiting(job: Mapping[str, Any]) -> bool:
    return job["state"] in WAITING


def is_ordinary(reason: str) -> bool:
    """Whether what waits for this will come in time, and nobody need do anything."""
    return reason in _ORDINARY


def in_words(job: Mapping[str, Any]) -> str:
    """`job 7 waits in gpu, place 3 of 17 (Priority), starts about 2024-05-01T08:00:00`; `job 7 runs on n[1-4]`."""
    name = f"job {job['id']}" if job["id"] else "its job"
    if is_waiting(job):
        return f"{name} waits{_where(job)}{_why(job)}{_when(job)}"
    if job["state"] in ("RUNNING", "COMPLETING"):
        return f"{name} runs{_nodes(job)}"
    return f"{name} ran{_nodes(job)}: {job['state']}"


def waiting_words(records: Records) -> str:
    """What steps of a run wait for in Slurm, or how their gangs stand; empty when there are none."""
    told = [f"{step}: {in_words(record[JOB])}" for step, record in steps_of(records).items() if _waits(record)]
    told += [f"{step}: {record[GANG]}" for step, record in steps_of(records).items() if record["state"] == "running" and record.get(GANG)]
    return "; ".join(told[:1]) + (f", and {len(told) - 1} more" if len(told) > 1 else "")


def _waits(record: Mapping[str, Any]) -> bool:
    return record["state"] == "running" and bool(record.get(JOB)) and is_waiting(record[JOB])


def _where(job: Mapping[str, Any]) -> str:
    partition = f" in {job['partition']}" if job["partition"] else ""
    return partition + (f", place {job['place']} of {job['waiting']}" if job["place"] else "")


def _why(job: Mapping[str, Any]) -> str:
    return f" ({job['reason']})" if job["reason"] else ""


def _when(job: Mapping[str, Any]) -> str:
    """By the clock of the cluster, which has a time zone of its own."""
    return f", starts about {job['starts']}" if job["starts"] else ""


def _nodes(job: Mapping[str, Any]) -> str:
    return f" on {job['nodes']}" if job["nodes"] else ""
