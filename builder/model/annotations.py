"""The annotations of a manifest and its layers that this tool writes and reads.

Standard keys: https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md
"""

from __future__ import annotations

KIND = "dev.builder.kind"
"""Of a layer: base, deps, tool or code."""

TITLE = "dev.builder.title"
DIFF_ID = "dev.builder.diffid"
SHARD = "dev.builder.shard"
"""Of a code layer: the hash of every input of its bytes."""

INPUTS = "dev.builder.inputs"
SETTINGS = "dev.builder.settings"
RULES = "dev.builder.rules"
LARGE = "dev.builder.large"

STANDARD = "org.opencontainers.image."
REVISION, CREATED, SOURCE = STANDARD + "revision", STANDARD + "created", STANDARD + "source"
BASE_NAME, BASE_DIGEST = STANDARD + "base.name", STANDARD + "base.digest"
