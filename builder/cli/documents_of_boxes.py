"""What `builder devbox` prints with `-o json`."""

from __future__ import annotations

from builder.cli.document import Document

DOCUMENTS_OF_BOXES = {
    "builder devbox ls": Document(
        {
            "name": "the box's name",
            "who": "who started it",
            "commit": "the 40 digits of the sha that it runs",
            "subject": "the first line of the commit's message",
            "reference": "the image by digest",
            "state": "`starting`, `running`, `stopping`, `stopped` (by itself, as it was idle) or `failed`",
            "started": "when it was started last",
            "detail": "why it does not run, in Kubernetes' words; else empty",
        },
        {},
        many=True,
    ),
}
