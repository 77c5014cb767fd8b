"""A run on this machine that goes on when its terminal closes: whoever looks after it is a process of its own.

`python -m builder.runs.detached` is that process; what to start comes as JSON on stdin.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder import process
from builder.data.ledger import RUN
from builder.errors import BuilderError, LaunchError
from builder.model.run import RunResult
from builder.runs.alive import is_alive
from builder.runs.execute import Execution, execute
from builder.runs.supervise import Tell
from builder.steps.outcome import ENDED, result_of, why
from builder.steps.request import Request
from builder.steps.root import ledger_of

LOG = "supervisor.log"
_LOOK_EVERY = 0.2  # seconds


def detach(execution: Execution, environ: Mapping[str, str]) -> None:
    """Starts the run, and returns when the ledger says that it runs, or how it failed. Raises LaunchError when it never began."""
    import msgspec

    log = Path(execution.request.place.output) / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        child = process.start(
            [sys.executable, "-m", "builder.runs.detached"],
            cwd="/",  # `-m` imports from the working directory first: not from a repository's
            env={**environ, "PYTHONSAFEPATH": "1"},
            stdout=file.fileno(),
            stderr=subprocess.STDOUT,
            own_group=True,
        )
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError), child.stdin as pipe:  # it is dead already: what it said is more to the point
        pipe.write(json.dumps(msgspec.to_builtins(execution)).encode())
    _await_beginning(execution.request, child, log)
    process.let_go(child)


def _await_beginning(request: Request, child: subprocess.Popen[bytes], log: Path) -> None:
    ledger = ledger_of(request)
    while ledger.read(request.run).get(RUN, {}).get("state", "starting") == "starting":
        if child.poll() is not None:
            said = "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-12:])
            raise LaunchError(f"{request.run} did not start; what looks after it said:\n{said}", f"the whole of it: {log}")
        time.sleep(_LOOK_EVERY)


def follow(request: Request, tell: Tell) -> RunResult:
    """Watches a run of this machine to its end. One whose supervisor died without a word is lost."""
    ledger, began = ledger_of(request), time.monotonic()
    while True:
        alive = is_alive(ledger.read(request.run).get(RUN, {}))
        records = ledger.read(request.run)  # what it wrote before it died is in them
        for step, record in records.items():
            if step != RUN:
                tell(step, record)
        if records[RUN]["state"] in ENDED:
            return _ended(request.run, records)
        if alive is False:
            why = f"{request.run} is lost: the process that looked after it died"
            raise LaunchError(why, f"builder retry {request.run} goes on with it", "lost")
        time.sleep(_LOOK_EVERY if time.monotonic() - began < 60 else 10 * _LOOK_EVERY)


def _ended(run: str, records: Mapping[str, Mapping[str, Any]]) -> RunResult:
    from dataclasses import replace

    result, record = result_of(run, records), records[RUN]
    error = why(records) if record["state"] == "failed" else None
    told = replace(result, seconds=record.get("seconds", 0.0))
    return replace(told, error=error.message, hint=error.hint) if error else told


def main() -> int:
    """The process that looks after the run: its own output is for whoever looks for why it did not start."""
    import msgspec

    execution = msgspec.convert(json.loads(sys.stdin.buffer.read()), Execution)
    try:
        execute(execution, os.environ, lambda *_: None)
    except BuilderError as error:
        sys.stderr.write(f"{error.message}\n{error.hint}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
