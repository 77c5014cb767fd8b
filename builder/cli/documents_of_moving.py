"""What `builder slim-repo --check` and `--move-clone` print with `-o json`."""

from __future__ import annotations

from builder.cli.document import Document

_STEP = {
    "name": "of the ref, or `stash@{N}`, or `HEAD of DIR` where that is detached",
    "before": "where it was",
    "after": "where it goes",
    "replayed": "how many local commits are made again for it",
    "why": "it stays where it is, because of this; or empty",
}
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
                "path": 'of the file; what is no UTF-8, or begins with a quotation mark, as git quotes it: `"caf\\351.bin"`',
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
    "builder slim-repo --move-clone": Document(
        {
            "clone": "the clone",
            "remote": "`name`, and its URL `before` and `after`",
            "branches": "each branch",
            "tags": "each tag",
            "stashes": "each entry of the stash, the newest first",
            "heads": "each detached HEAD",
            "notes": "how many notes are copied to new names",
            "untracked": "working tree to the files that stay there and that git no longer has; names that are no UTF-8 as git quotes them",
            "elsewhere": "branches of the old remote with commits that neither the new one nor a local branch has",
            "others": "other remotes: they are left as they are",
            "unsigned": "local commits that lose their signature",
            "warnings": "what else is worth knowing",
            "left": "how many branches, tags, stashes and HEADs stay because of a conflict; after `--yes` the exit code is then 1",
            "moves": "how much there is to do",
            "kept": "where all refs of before are kept",
            "bundle": "the file with them, or empty where a clone that lacks objects has nothing of its own",
            "done": "whether it was done, with `--yes`",
            "next": "the command that goes on, or empty",
        },
        {"branches": _STEP, "tags": _STEP, "stashes": _STEP, "heads": _STEP, "elsewhere": _STEP},
    ),
}
