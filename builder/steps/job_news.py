"""Writes down how a step's job in Slurm stands while the step waits for it, and tells people when that is news."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from builder.errors import BuilderError
from builder.launch.slurm.states import JobState
from builder.model.oci import sha256
from builder.steps import notices
from builder.steps.jobs import JOB, is_ordinary, is_waiting, record_of
from builder.steps.links import links_of
from builder.steps.request import Request
from builder.steps.root import ledger_of

_SOON = 60.0  # seconds: a job that starts within these was no news
_MOST = 4  # reasons that are told of one job


class JobNews:
    """Of one step, whose process is the only writer of its record. `facts` are what is known of the step so far."""

    def __init__(self, request: Request, step: str, facts: dict[str, Any]) -> None:
        self._request, self._step, self._facts = request, step, facts
        self._began = time.monotonic()
        self._told: set[str] = set()

    def heard(self, job: JobState, log: str) -> None:
        """As Slurm has it now. Called at every look; `log` is the file on the cluster."""
        cluster = self._request.launching(self._step).slurm.bastion
        record = self._with_number(record_of(job, cluster, log))
        if record != self._facts.get(JOB):
            self._facts.update({JOB: record, "links": links_of(self._request, self._step, record)})
            self._write()
        self._tell(record)

    def _with_number(self, record: dict[str, Any]) -> dict[str, Any]:
        """Of a job that Slurm has forgotten only the script's end is known; what was known before stays."""
        before = self._facts.get(JOB, {})
        if record["id"] or not before.get("id") or before["name"] != record["name"]:
            return record
        return {**before, "state": record["state"], "reason": record["reason"]}

    def _write(self) -> None:
        """A data root that does not answer for a moment ends no wait of hours."""
        run, ledger = self._request.run, ledger_of(self._request)
        with contextlib.suppress(BuilderError):
            ledger.write(run, self._step, {**ledger.read(run).get(self._step, {"state": "running"}), **self._facts})

    def _tell(self, record: dict[str, Any]) -> None:
        news = self._news(record)
        if news and news not in self._told and len(self._told) < _MOST:
            self._told.add(news)
            notices.of_job(self._request, self._step, f"{record['name']}-{news}", self._facts)

    def _news(self, record: dict[str, Any]) -> str:
        """What kind of news it is: that it waits, once for each reason that somebody may have to look after; that it runs after that."""
        if not is_waiting(record):
            return "runs" if record["state"] == "RUNNING" and self._told else ""
        if time.monotonic() - self._began < _SOON:
            return ""
        reason = record["reason"].partition(",")[0]
        return "waits" if is_ordinary(reason) else sha256(reason.encode())[7:15]
