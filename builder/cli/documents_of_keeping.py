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
}
