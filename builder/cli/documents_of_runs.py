"""What commands that read runs print with `-o json`."""

from __future__ import annotations

from builder.cli.document import Document

DOCUMENTS_OF_RUNS = {
    "builder status": Document(
        {
            "run": "the run's id",
            "flow": "the flow's name",
            "commit": "the 40 digits of its sha",
            "subject": "the first line of the commit's message",
            "who": "who started it; of a nightly its schedule",
            "on": "`local`, `docker` or `argo`; empty when nobody has said so yet",
            "where": "the same, with the machine unless it is a cluster",
            "state": "`starting`, `submitting`, `submitted`, `waiting`, `running`, `succeeded`, `failed`, `stopped` or `lost`",
            "detail": "more of the state, in words: what it waits for, why it cannot go on; mostly empty",
            "started": "when, in UTC",
            "ended": "when, in UTC; empty while it goes on",
            "reference": "the image by digest",
            "overrides": "key=value words of the command line",
            "loss": "the last loss, or null",
            "scores": "action type to number, or null",
            "links": "name to place",
        },
        {},
        many=True,
    ),
    "builder status --flows": Document(
        {
            "flow": "the flow's name",
            "kind": "the built-in flow that it is, or the team's own file",
            "description": "one line for people",
            "parameters": "what key=value may change, with the values in the working tree",
            "evals": "the action types",
            "schedules": "name to cron, timezone and set",
            "on": "where runs go when the command line does not say",
            "places": "step to `here`, `slurm` or `jobset`, where the settings say so",
            "origin": "the file that has the flow",
            "last": "its newest run as in `builder status`, or null",
        },
        {},
        many=True,
    ),
}
