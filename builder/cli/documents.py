"""What every `-o json` prints, key by key: docs/reference/json.md is made from it, and the tests hold the commands to it."""

from __future__ import annotations

from builder.cli.document import Document
from builder.cli.documents_of_bisecting import DOCUMENTS_OF_BISECTING
from builder.cli.documents_of_boxes import DOCUMENTS_OF_BOXES
from builder.cli.documents_of_keeping import DOCUMENTS_OF_KEEPING
from builder.cli.documents_of_moving import DOCUMENTS_OF_MOVING
from builder.cli.documents_of_runs import DOCUMENTS_OF_RUNS
from builder.cli.documents_of_slimming import DOCUMENTS_OF_SLIMMING

_RUN = Document(
    {
        "run": "the run's id",
        "flow": "the flow's name",
        "commit": "the 40 digits of its sha",
        "reference": "the image by digest",
        "state": "`submitted`, `running`, `succeeded`, `failed`, `stopped` or `lost`",
        "config": "the hash of the resolved configuration",
        "identity": "the same for runs that do the same: image, configuration and commands",
        "checkpoint": "the frozen checkpoint's digest",
        "loss": "the last loss, or null",
        "scores": "action type to number, or null where there is none, or it is not finite",
        "holes": "action type to why it has no score, where the run went on without",
        "baseline": "the last green run of the default branch: run, commit, scores, loss",
        "links": "name to place",
        "restored": "what commands got back of what slim-repo took out of the commit: list, was, files, size; empty when nothing",
        "seconds": "how long it took",
        "error": "what failed, else empty",
        "hint": "what to do next, else empty",
    },
    {},
)

DOCUMENTS = {
    "builder image": Document(
        {
            "commit": "the 40 digits of its sha",
            "reference": "the image by digest, as nodes pull it (`docker:` gives the image id)",
            "digest": "of the manifest",
            "subject": "the first line of the commit's message",
            "layers": "from the base up",
            "new_bytes": "bytes that were sent, or would be with `--dry-run`",
            "reused_bytes": "bytes that the store had or mounted",
            "requests": "requests to the store",
            "seconds": "from the resolved revision to the tag",
        },
        {
            "layers": {
                "digest": "of the layer as stored",
                "size": "bytes as stored",
                "kind": "`base`, `deps`, `tool` or `code`",
                "state": "`uploaded`, `mounted` or `reused`",
            }
        },
        many=True,
    ),
    "builder deps": Document(
        {
            "key": "the hash of every input",
            "tag": "the tag under which the dependencies are found",
            "reference": "the dependencies by digest, empty when there is nothing to install or nothing was built",
            "found": "whether the store has them now",
            "layers": "their layers",
        },
        {"layers": {"digest": "of the layer as stored", "size": "bytes as stored", "title": "what is in it"}},
    ),
    "builder verify": Document(
        {
            "commit": "the commit that the image says it is of",
            "digest": "of the manifest",
            "layers": "how many code layers were compared",
            "problems": "what differs, a line each",
            "same": "whether nothing does",
        },
        {},
    ),
    "builder run": _RUN,
    "builder retry": _RUN,
    "builder run --dry-run": Document(
        {
            "flow": "the flow's name",
            "commit": "the 40 digits of its sha",
            "command": "what would train",
            "config": "the resolved configuration",
            "on": "where it would run",
            "evals": "action type to command",
            "origin": "settings table to where it came from",
        },
        {},
    ),
    "builder deploy": Document(
        {
            "commit": "the 40 digits of its sha; with `--rollback` of the one that is live again",
            "looked": "whether this only says what would be done (`--diff`, `--dry-run`)",
            "recorded": "the commit that was made of a directory's files, in their repository; empty when none was",
            "objects": "in the order in which they were done",
        },
        {
            "objects": {
                "kind": "`template`, `queue`, `schedule`, or Kubernetes' own word in lower case",
                "name": "of the object; of a queue the flow",
                "done": "`created`, `changed`, `found`, `removed`, or `unknown` (a schedule that the settings do not name)",
                "differences": "a line for each field that was otherwise",
            }
        },
    ),
    **DOCUMENTS_OF_RUNS,
    **DOCUMENTS_OF_BISECTING,
    **DOCUMENTS_OF_BOXES,
    **DOCUMENTS_OF_KEEPING,
    **DOCUMENTS_OF_SLIMMING,
    **DOCUMENTS_OF_MOVING,
    "builder doctor": Document(
        {"checks": "in the order in which they ran"},
        {
            "checks": {
                "group": "what it is about",
                "name": "of the check",
                "state": "`ok`, `failed`, or `-` where it is not needed",
                "detail": "what was found",
                "remedy": "what to do, when it failed",
            }
        },
    ),
}
