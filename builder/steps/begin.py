"""What the pod of a step of a team's own flow does first: `python -m builder.steps.begin STEP` writes down how far the run has come.

A team's steps know nothing of the ledger. So each pod copies what Metaflow keeps of the steps before it, and the exit handler the rest.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from builder.data.metaflow_tasks import MetaflowRun
from builder.steps import own
from builder.steps.request import Request, task_of
from builder.steps.request_file import keep_request
from builder.steps.root import objects_of

FOLDER = "metaflow"
"""Of the data root: where Metaflow keeps what it does on Argo."""


def main(environ: Mapping[str, str], step: str) -> None:
    request = request_in(environ)
    if step == "start":
        keep_request(request)
    own.copy_records(request, run_in(request, environ), begun=step)


def request_in(environ: Mapping[str, str]) -> Request:
    return task_of(environ["BUILDER_REQUEST"], environ["BUILDER_RUN"], 0).request


def run_in(request: Request, environ: Mapping[str, str]) -> MetaflowRun:
    """What Metaflow keeps of the run: there it is called `argo-` and the workflow's name."""
    return MetaflowRun(objects_of(request), FOLDER, environ["BUILDER_FLOW_CLASS"], f"argo-{request.run}")


if __name__ == "__main__":
    main(os.environ, sys.argv[1])
