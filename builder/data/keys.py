"""What may be the key of an object: the same for a directory and for S3."""

from __future__ import annotations

import re

from builder.errors import DataError

_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PART_LIMIT = 255  # bytes of a file's name: NAME_MAX of every file system that matters
_KEY_LIMIT = 1024  # bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html


def is_plain_name(name: str) -> bool:
    """Whether it can be one part of a path anywhere: not empty, `.` or `..`, no slash, no control characters, no broken UTF-8."""
    return name not in ("", ".", "..") and "/" not in name and is_plain_text(name) and len(name.encode()) <= _PART_LIMIT


def is_plain_text(text: str) -> bool:
    """No control characters, no broken UTF-8."""
    return not _NO_TEXT.search(text)


def is_key(text: str) -> bool:
    return all(map(is_plain_name, text.split("/"))) and not text.startswith(".") and len(text.encode()) <= _KEY_LIMIT


def check_key(key: str) -> str:
    """The key itself. Raises DataError unless it is plain names with slashes between, the first of which starts with no dot.

    (Names with a dot at the root are the root's own, such as `.tmp`.)
    """
    if not is_key(key):
        raise DataError(f"{key!r} cannot be the key of an object", 'plain names with "/" between them, such as "ledger/run-1/start.json"')
    return key


def check_prefix(prefix: str) -> str:
    """The prefix itself. Raises DataError unless a key could begin with it."""
    if prefix:
        check_key(prefix[:-1] if prefix.endswith("/") else prefix)
    return prefix
