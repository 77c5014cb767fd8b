"""From what the settings say to the data root itself."""

from __future__ import annotations

import re
from pathlib import Path

from builder.data.directory import DirectoryObjects
from builder.data.interface import Objects
from builder.data.keys import is_key
from builder.errors import SettingsError
from builder.settings import DataSettings

_S3 = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9])(/(?P<prefix>.*))?\Z", re.DOTALL)
_EXAMPLE = 'a directory, or "s3://bucket/prefix"'


def open_root(text: str, base: Path, endpoint: str = "") -> Objects:
    """The data root: `s3://bucket/prefix`, or a directory, relative to `base`. Nothing is asked of it yet.

    `endpoint` is the S3 server's URL where it is not Amazon's; AWS_ENDPOINT_URL(_S3) count where it is empty. Raises SettingsError.
    """
    if "://" not in text:
        return DirectoryObjects(base / Path(text).expanduser())
    found = _S3.match(text)
    prefix = (found["prefix"] or "").strip("/") if found else ""
    if not found or (prefix and not is_key(prefix)):
        raise SettingsError(f"[data] root is {text}, and that is no place for data", _EXAMPLE)
    from builder.data.s3 import S3Objects

    return S3Objects(found["bucket"], prefix, endpoint)


def open_archive(data: DataSettings, base: Path = Path("/")) -> Objects:
    """Where lies what `slim-repo` took out of the history: [data] archive, else the data root. Raises SettingsError."""
    return open_root(data.archive or data.root, base, data.endpoint)
