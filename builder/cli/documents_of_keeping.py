"""What the flows that look after all others print with `-o json`."""

from __future__ import annotations

from builder.cli.document import Document

DOCUMENTS_OF_KEEPING = {
    "builder run watch": Document(
        {
            "dry_run": "whether nothing was changed or sent",
            "findings": "what is wrong, what was put right (or would be), and what is over",
            "text": "the digest as it was sent, or would be; empty when there is no news",
            "unseen": "what could not be asked, with the reason",
        },
        {
            "findings": {
                "news": "`new`, `known` (it was told before) or `over`",
                "kind": "`failed`, `missing`, `zombie`, `gone`, `long`, `pending`, `done` or `blind`",
                "subject": "the job, run, workflow or schedule",
                "text": "what is wrong with it, or was",
            }
        },
    ),
    "builder run housekeep": Document(
        {"dry_run": "whether nothing was removed", "things": "all that might go", "unseen": "what could not be asked, with the reason"},
        {
            "things": {
                "kind": "`workflow`, `template`, `files of jobs`, `code`, `tool of jobs`, a layer of them, or `image`",
                "place": "the namespace, or `bastion:root`",
                "name": "its name there",
                "became": "`removed`, `kept`, `failed`, `gone` (already), `used` (just now, so it stays), `would go`",
                "why": "why it goes, stays, or could not be removed",
            }
        },
    ),
    "builder gc": Document(
        {
            "deleted": "whether anything was to be deleted, or this only says what would be",
            "asked": "who was asked what they need, a line each",
            "things": "all that was looked at",
            "freed": "bytes that went, or would go; what several share is counted once. A registry frees them when its own collector runs",
        },
        {
            "things": {
                "of": "the word of the command line, such as `images`",
                "kind": "of images `image`, `base`, `deps`, `tool`, `handler`, `environment`, `built`, `referrer`, `index`, `foreign`, "
                "or `blobs` (those that no manifest names); of others `template`, `run`, `rest of a run`, `workflow`, `logs`, "
                "`directory of a run`, `bundle`, `checkpoint`, `files` (of no checkpoint), and what housekeep has on Slurm's side",
                "place": "the store, the namespace, `bastion:root` or the directory",
                "name": "what identifies it there: of an image its digest",
                "label": "what people know it by: of an image its commit, or its tags",
                "size": "bytes that its removal frees: what others that go have, too, is the first one's; null where nobody knows",
                "became": "`kept`, `would go`, `removed`, `gone` (already), `used` (needed by now, so it stays) or `failed`",
                "why": "why it goes, stays, or could not be removed",
            }
        },
    ),
}
