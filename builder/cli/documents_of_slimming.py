"""What `builder slim-repo -o json` prints."""

from __future__ import annotations

from builder.cli.document import Document

REMOVED = {
    "path": 'from the repository\'s root; what is no UTF-8, or begins with a quotation mark, as git quotes it: `"caf\\351.bin"`',
    "size": "bytes",
    "sha256": "of its content, 64 hex digits",
    "kind": "`file`, or `lfs` for what a pointer of Git LFS names",
    "mode": "as git has it, such as `100755`",
}
"""A file that was taken out of a commit."""

_LOST = {
    "commit": "the 40 digits of its sha",
    "was": "the one that it had before all slimmings",
    "size": "of all files, in bytes",
    "files": "sorted by path",
}
_PLANNED = {
    "stage": "`planned`: the plan waits for its approval",
    "approve": "the hash of this plan and this source, for `--approve`",
    "work": "the directory it works in",
    "plan": "the plan's file",
    "report": "the page about the repository, for people",
    "numbers": "the same as JSON",
    "archive": "where all that goes is kept",
    "commits": "how many the history has, notes aside",
    "clone": "bytes of `git clone`: `filter_blob_limit_1m` with that filter and no rewrite, `before`, about `after` and "
    "`after_with_filter`; `lfs_of_head` besides; how many `objects`",
    "removed": "`file_versions` (blobs) and their `size`; how many are `gone`, the `disk` they took; `spared_by_tips`",
    "held_by": "how many `refs` hold back what is `spared_by_tips`, and the three that do `most`: `ref`, `file_versions`, `size`, and of "
    "that `alone` what no other tip has; the report has all",
    "unmatched": "patterns of the plan that match nothing: `key` and `pattern`",
    "lfs": "`objects` and their `size`, of these `at_tips` and `archived`",
    "lfs_missing": "LFS objects that nobody has, by oid; each run looks for them again",
    "dead_code": "how many `modules` and `scripts` look dead; the report names them, and says why",
    "next": "the command that goes on, or empty",
}
_DONE = {
    **_PLANNED,
    "stage": "`verified` or `published`",
    "verified": "`commits` compared, of which `changed` have new names; `unsigned` lost a signature; messages of `left` still name an "
    "old commit; `headers` that were dropped",
    "unsigned_tags": "old tags that lost a signature",
    "before": "bytes of a clone of the source",
    "after": "bytes of a clone of the new repository",
    "repository": "the new repository, bare",
    "manifest": "where the archive says what it holds",
    "bundle": "`path` and `size` of the original's bundle",
    "published": "null, or with `--publish-to`: `url`, how many `refs`, those `skipped`, `warnings`, and `head`",
}
DOCUMENTS_OF_SLIMMING = {
    "builder data ls": Document(_LOST, {"files": REMOVED}),
    "builder data pull": Document(
        {**_LOST, "directory": "where they were written"},
        {"files": {**REMOVED, "written": "whether it was; false when it was there already"}},
    ),
    "builder slim-repo": Document(_PLANNED, {}),
    "builder slim-repo --approve": Document(_DONE, {}),
    "builder slim-repo --status": Document(
        {
            "work": "the directory it works in",
            "archive": "where all that goes is kept; empty before the first plan",
            "done": "of `mirrored`, `planned`, `archived`, `rewritten`, `verified`, `recorded`, `bundled`, `published`",
            "seconds": "by stage: how long it took",
            "stage": "the last of them; `new` when there is none",
            "approve": "the hash of the plan as it is now, or empty",
            "next": "the command that goes on, or empty",
        },
        {},
    ),
}
