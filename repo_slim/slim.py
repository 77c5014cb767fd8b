"""The stages in their order, each remembered by the hash of its inputs: mirrored, planned, and, once the plan is approved, archived,
rewritten, verified, recorded, bundled; published when asked for.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from repo_slim import plan
from repo_slim.approved import Approved
from repo_slim.asked import Asked
from repo_slim.errors import AskedError
from repo_slim.mirror import list_source
from repo_slim.places import check_archive, check_target, check_work, clear, top
from repo_slim.planning import Planning
from repo_slim.progress import SILENT, Progress
from repo_slim.state import STAGES, State, locked

__all__ = ["Asked", "run", "status"]


def run(asked: Asked, progress: Progress = SILENT) -> dict[str, Any]:
    """Goes on until the plan waits for its approval, or, approved, to the end. Returns where it stands, as JSON.

    Nothing is written, and nothing thrown away, before the source was read and every place looked at.
    """
    asked = replace(asked, source=top(asked.source), work=asked.work.absolute())  # programs are started in other directories
    if asked.publish_to:
        check_target(asked.publish_to, asked.source, asked.work)
    check_work(asked.work, asked.source)
    check_archive(asked.archive or asked.default_archive, asked.work, asked.source)
    there = list_source(asked.source)
    if asked.approve and State(asked.work).last("mirrored") is None:
        raise AskedError(f"nothing is planned yet in {asked.work}", "run it without --approve first, and read the plan")
    with locked(asked.work):
        if asked.restart:
            State.begun_anew(asked.work)
            clear(asked.work)
        planned = Planning(asked, there, progress)
        told = planned.go()
        return told | Approved(planned).go(told["approve"]) if asked.approve else told


def status(work: Path) -> dict[str, Any]:
    """Which stages are done, by name, and the hash that approves the plan, empty while there is none. Changes nothing."""
    state = State(work)
    done = list(takewhile(lambda stage: state.last(stage) is not None, STAGES))
    mirrored, path = state.last("mirrored"), work / plan.NAME
    approve = plan.approval(path.read_bytes(), mirrored["refs"]) if mirrored and path.exists() else ""
    current = (state.last("planned") or {}).get("approve") == approve
    return {
        "work": str(work),
        "archive": state.archive,
        "done": done if current else done[:2],
        "seconds": {stage: took for stage, took in state.seconds().items() if stage in done},
        "approve": approve,
        "stage": done[-1] if done and current else "planned" if approve else "new",
    }
