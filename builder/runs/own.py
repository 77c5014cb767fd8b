"""Executes a team's own flow on this machine: Metaflow's local runner on the team's interpreter and path, in the commit's tree."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from builder.data.directory import DirectoryObjects
from builder.data.metaflow_tasks import MetaflowRun
from builder.errors import LaunchError
from builder.launch.behind import path_of, with_tool_behind
from builder.launch.here import environment
from builder.launch.interface import Job
from builder.model.run import RunResult
from builder.runs.local import FLOW_LOG, Processes, metaflow_options, metaflow_settings
from builder.runs.supervise import Tell, Watched, supervise
from builder.steps import contract, own
from builder.steps.request import Request
from builder.steps.restore import restored

RUN_ID = "metaflow-run-id"
STORE = ".metaflow"  # Metaflow's name for its directory below the one that it is given
_COPY_EVERY = 1.0  # seconds


def run_own_here(request: Request, tool: Sequence[str], state: Path, environ: Mapping[str, str], tell: Tell) -> RunResult:
    """Executes the flow to its end. `tool` is where this tool and what it needs is; `state` keeps Metaflow's own files."""
    output = Path(request.place.output)
    output.mkdir(parents=True, exist_ok=True)
    log = output / FLOW_LOG
    argv = own_command(request, request.place.python, output / RUN_ID)
    variables = {**own_environment(request, tool, environ), **metaflow_settings(request, state)}
    watched = Watched(request, log, tell, Copy(request, state / STORE, output / RUN_ID))

    def start() -> Processes:
        restored(request)
        return Processes(argv, Path(request.place.workdir), log, variables)

    return supervise(watched, start)


def own_command(request: Request, python: str, run_id: Path) -> list[str]:
    """The command line of Metaflow's local runner, in the commit's tree. Where the run retries another, Metaflow goes on with that."""
    argv = [python, request.settings.file, *metaflow_options(request)]
    tags = ["--tag", f"run:{request.run}", "--tag", f"commit:{request.commit}", "--run-id-file", str(run_id)]
    origin = request.origin
    if not origin.retried:
        return [*argv, "run", *tags, *(f"--{word}" for word in request.overrides)]
    before = run_id.parents[1] / origin.retried / RUN_ID
    return [*argv, "resume", *tags, "--origin-run-id", read_run_id(before, origin.retried), *filter(None, [origin.redo])]


def read_run_id(file: Path, run: str) -> str:
    """Metaflow's name for a run. Raises LaunchError when that never got one."""
    try:
        return file.read_text().strip()
    except FileNotFoundError as error:
        raise LaunchError(f"{run} left nothing on this machine to go on from: there is no {file}", "start it anew") from error


def own_environment(request: Request, tool: Sequence[str], inherited: Mapping[str, str]) -> dict[str, str]:
    """What the flow finds: what any command of the commit finds, and this tool behind everything else."""
    place = request.place
    named = {contract.COMMIT: request.commit, contract.RUN: request.run, contract.WORKDIR: place.workdir}
    named[contract.OUTBOX] = str(own_outbox(request))
    secret = (request.notify.webhook_env, request.notify.token_env)
    job = Job("flow", (), Path(place.workdir), Path(), place.pythonpath, place.python, place.env, named, secret)
    found = environment(job, inherited)
    return {**found, **with_tool_behind(path_of(found), tool)}


def own_outbox(request: Request) -> Path:
    """One for the whole flow, on this machine: nobody sees its steps end."""
    return Path(request.place.output) / "outbox.jsonl"


class Copy:
    """Copies what Metaflow keeps of the run into the ledger."""

    def __init__(self, request: Request, store: Path, run_id: Path) -> None:
        self._request = request
        self._store = store
        self._file = run_id
        self._run: MetaflowRun | None = None
        self._next = 0.0

    def __call__(self, code: int | None) -> None:
        if code is not None:
            own.finish(self._request, self._found(), "failed" if code else "succeeded")
        elif time.monotonic() >= self._next and (run := self._found()):
            own.copy_records(self._request, run)
            self._next = time.monotonic() + _COPY_EVERY

    def _found(self) -> MetaflowRun | None:
        """None until Metaflow has given it a name."""
        if self._run is None and self._file.exists():
            directory = next(self._store.glob(f"*/{self._file.read_text().strip()}"), None)
            self._run = MetaflowRun(DirectoryObjects(self._store), "", directory.parent.name, directory.name) if directory else None
        return self._run
