"""What commands that read runs print with `-o json`."""

from __future__ import annotations

from builder.cli.document import Document

_RUN = {
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
}
"""What is known of a run."""

DOCUMENTS_OF_RUNS = {
    "builder status": Document(_RUN, {}, many=True),
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
    "builder show RUN": Document(
        {
            "kind": "`run`",
            **_RUN,
            "identity": "the same for runs that do the same: image, configuration and commands",
            "config": "the hash of the resolved configuration",
            "checkpoint": "the frozen checkpoint's digest",
            "restored": "what commands got back of what slim-repo took out of the commit: list, was, files, size; empty when nothing",
            "step": "where it failed, or where it is; may be empty",
            "end": "how the step ended, in words: `exit code 3`, `out of memory`, ...",
            "error": "what happened",
            "log": "the last lines of the step's log",
            "hint": "what to do about it",
            "holes": "the steps that it went on without, with the reason",
            "steps": "in the order in which they began",
            "baseline": "the last run that was green when this one began: run, commit, scores, loss, ended, ...; empty when none was",
            "since": "what changed from there to here, or null; the keys are those of `changes` in `builder compare`",
            "repeat": "the command that repeats the run exactly",
            "next": "the command to type next",
            "missing": "what could not be found out, and why",
        },
        {
            "steps": {
                "step": "its name",
                "state": "`running`, `waiting`, `succeeded`, `failed`, `missing` or `stopped`",
                "started": "when, in UTC",
                "ended": "when, in UTC; empty while it goes on",
                "seconds": "how long it took, or null",
                "tries": "how often it was tried",
                "kept": "the run whose result it is, where it was not done again",
                "job": "in Slurm, or null: id, name, state, reason, partition, place, waiting, starts, nodes, cluster, log",
                "links": "name to URL: those that [links] has for steps and jobs",
            }
        },
    ),
    "builder show REV": Document(
        {
            "kind": "`commit`, `image` or `checkpoint`: what was asked for",
            "name": "its sha or digest in full",
            "commit": "the 40 digits of the commit's sha; empty when nobody knows it",
            "subject": "the first line of the commit's message",
            "author": "the commit's",
            "was": "its name before slim-repo gave it this one, or empty",
            "lost": "the files that slim-repo took out of it, as in `builder data ls`",
            "images": "of the commit; of an image or a checkpoint those that hang together with it",
            "templates": "in the cluster: name, flow, digest of the image, schedules that start it",
            "runs": "as in `builder status`",
            "checkpoints": "that the runs made or evaluated",
            "next": "the command to type next",
            "missing": "what could not be found out, and why",
        },
        {
            "images": {
                "digest": "of the manifest",
                "reference": "by digest, as nodes pull it",
                "tags": "that name it",
                "layers": "how many",
                "size": "bytes of all layers as stored",
            },
            "checkpoints": {
                "digest": "of its manifest in the data root",
                "size": "bytes",
                "made_by": "runs that trained it",
                "used_by": "runs that took it over from another",
            },
        },
    ),
    "builder show FLOW": Document(
        {
            "kind": "`flow`",
            "flow": "the flow's name",
            "is": "the built-in flow that it is, or the team's own file",
            "description": "one line for people",
            "parameters": "what key=value may change, with the values in the working tree",
            "evals": "the action types",
            "schedules": "name to cron, timezone and set, by the settings",
            "on": "where runs go when the command line does not say",
            "places": "step to `here`, `slurm` or `jobset`, where the settings say so",
            "origin": "the file that has the flow",
            "live": "what schedules in the cluster start: schedule, cron, timezone, suspended, template, commit, subject, reference",
            "runs": "the newest, as in `builder status`",
        },
        {},
    ),
    "builder compare": Document(
        {
            "flow": "whose runs are compared",
            "sides": "in the order of the command line",
            "scores": "the loss first, then the action types by name",
        },
        {
            "sides": {
                "label": "as it was named, with the commit",
                "commit": "the 40 digits of its sha",
                "runs": "the runs that count: they succeeded and did the same",
                "left_out": "how many of the commit's runs that succeeded do not count: another configuration or image",
                "layers": "of its image, or null: count, size, and new and new_size, which the first side's image does not have; bytes",
                "changes": "against the first side, or null: before, after, commits, ahead, behind, config, base, deps",
                "missing": "what could not be compared, and why",
            },
            "scores": {
                "metric": "`loss`, or the action type",
                "sides": "for each: count, mean, low and high of its runs' values, or null",
                "changes": "for each: the amount against the first side's mean, and `within`: whether values scatter as much by themselves",
            },
        },
    ),
}
