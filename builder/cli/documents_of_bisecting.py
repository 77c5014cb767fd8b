"""What `builder bisect` prints with `-o json`."""

from __future__ import annotations

from builder.cli.document import Document

_SEARCH = {
    "flow": "the flow's name",
    "metric": "what is bad",
    "good": "the 40 digits of the sha of the commit that was said to be good",
    "bad": "of the one that was said to be bad",
    "on": "where runs go",
    "repeat": "of how many runs of a commit most must agree",
    "suspects": "the commits that may be to blame, newest first: the first is known to be bad",
    "tested": "the commits of which something is known, newest first",
}
_TESTED = {
    "commit": "the 40 digits of its sha",
    "subject": "the first line of its message",
    "verdict": "`good`, `bad`, `skip` (it was passed over), or null while it needs more runs",
    "value": "the median of its runs' values, or null",
    "values": "run to value",
    "going": "runs that go on",
    "failed": "run to why it has no value",
    "why": "why it was passed over; else empty",
}

DOCUMENTS_OF_BISECTING = {
    "builder bisect": Document(
        {
            **_SEARCH,
            "sure": "whether it is the first suspect; else the exit code is 1",
            "commit": "the first suspect: commit, author, date, subject; `before`, a good one; `files` that differ, with lines",
            "warnings": "good commits after bad ones",
            "started": "runs that this very command started",
            "comparison": "`before` and the commit as `builder compare` has them",
        },
        {"tested": _TESTED},
    ),
    "builder bisect --dry-run": Document(
        {
            **_SEARCH,
            "next": "the commits that would be tested first",
            "cost": "low and high: how many runs at least and at most; rounds; of one past run seconds and gpu_seconds, or null",
        },
        {"tested": _TESTED},
    ),
}
