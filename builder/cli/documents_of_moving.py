"""What `builder slim-repo --check -o json` prints."""

from __future__ import annotations

from builder.cli.document import Document

DOCUMENTS_OF_MOVING = {
    "builder slim-repo --check": Document(
        {
            "big": "files over `--max-size`",
            "old": "commits of before through which the others of before would come",
            "commits": "how many were looked at for big files",
            "mapped": "whether there is a commit map; without one commits of before cannot be told",
            "cut": "commits whose parents a shallow clone lacks",
            "good": "neither `big` nor `old` has anything; else the exit code is 1",
        },
        {
            "big": {
                "path": "of the file",
                "size": "its bytes",
                "commit": "that brings it, or empty: it is staged",
                "cut": "a shallow clone ends at that commit, so the file may be older",
            },
            "old": {
                "commit": "of before",
                "new": "its name now",
                "through": "the commit that has it as a parent, or empty: it is the tip itself",
                "more": "how many other commits of before come with it",
            },
        },
    ),
}
