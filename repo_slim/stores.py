"""Where the archive lies: a directory, or a prefix in a bucket. Siblings with the same verbs.

An object is there whole or not at all; what is written is on the disk, or acknowledged by S3, before a call returns.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from repo_slim.errors import ArchiveError, AskedError, DamagedError

CHUNK = 1 << 20
_STALE = 24 * 3600  # seconds
_S3 = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9])(?:/(?P<prefix>.*))?\Z", re.DOTALL)
_HINTS = {
    errno.ENOSPC: "the disk is full: free some space, then run it again; it goes on where it was",
    errno.EDQUOT: "the quota is used up: free some space, then run it again; it goes on where it was",
}


class Store(Protocol):
    """Objects by key. Raises ArchiveError, which names the object. Any number of threads may use one."""

    @property
    def name(self) -> str: ...

    def size(self, key: str) -> int | None:
        """Bytes; None when there is no such object."""

    def put(self, key: str, path: Path, sha256: str, *, give: bool = False) -> None:
        """Writes a file's bytes whole, whatever was there. Raises DamagedError, and writes nothing, when they do not hash to `sha256`.

        `give`: the file is the store's from now on, which may move it instead of copying it; its bytes are known to hash right.
        """

    def read(self, key: str) -> Iterator[bytes]:
        """The bytes, piece by piece. Raises ArchiveError when there is no such object."""


def open_store(text: str, endpoint: str = "") -> Store:
    """`s3://bucket/prefix`, or a directory. Nothing is asked of it yet."""
    if "://" not in text:
        return Directory(Path(os.path.abspath(Path(text).expanduser())))  # noqa: PTH100 - resolve() would follow links
    found = _S3.match(text)
    if not found:
        raise AskedError(f"{text} is no place for an archive", "name a directory, or s3://bucket/prefix")
    return Bucket(found["bucket"], (found["prefix"] or "").strip("/"), endpoint)


def hash_of(store: Store, key: str) -> str:
    """The sha256 of what is there, read back from the beginning to the end."""
    seen = hashlib.sha256()
    for chunk in store.read(key):
        seen.update(chunk)
    return seen.hexdigest()


class Directory:
    """Files, read-only, with the key as their path."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tidy = False

    @property
    def name(self) -> str:
        return str(self._root)

    def size(self, key: str) -> int | None:
        try:
            return (self._root / key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, key: str, path: Path, sha256: str, *, give: bool = False) -> None:
        target = self._root / key
        aside = self._root / ".tmp" / os.urandom(16).hex()
        try:
            self._prepare(aside.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not (give and _moved(path, aside)):
                _copied(path, aside, sha256)
            aside.replace(target)
        except OSError as error:
            hint = _HINTS.get(error.errno or 0, "look at the directory and its rights, then run it again")
            raise ArchiveError(f"{target} cannot be written: {error.strerror}", hint) from error
        finally:
            with contextlib.suppress(OSError):
                aside.unlink()

    def _prepare(self, folder: Path) -> None:
        """What was being written when a process was killed goes after a day: nobody writes it any more."""
        folder.mkdir(parents=True, exist_ok=True)
        if not self._tidy:
            self._tidy = True
            for path in folder.iterdir():
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime < time.time() - _STALE:
                        path.unlink()

    def read(self, key: str) -> Iterator[bytes]:
        path = self._root / key
        try:
            with path.open("rb", buffering=0) as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except OSError as error:
            raise ArchiveError(f"{path} cannot be read: {error.strerror}", "run it again: what is missing is archived anew") from error


def _moved(path: Path, aside: Path) -> bool:
    """False where it lies on another file system."""
    try:
        path.rename(aside)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return False
        raise
    aside.chmod(0o444)
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    return True


def _copied(path: Path, aside: Path, sha256: str) -> None:
    seen = hashlib.sha256()
    with path.open("rb") as source, os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444), "wb") as file:
        while chunk := source.read(CHUNK):
            seen.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if seen.hexdigest() != sha256:
        raise _damaged(path, sha256)


def _check(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        seen = hashlib.sha256()
        while chunk := file.read(CHUNK):
            seen.update(chunk)
    if seen.hexdigest() != sha256:
        raise _damaged(path, sha256)


def _damaged(path: Path, sha256: str) -> DamagedError:
    return DamagedError(f"{path} does not hash to {sha256}", "it changed while it was read, or is damaged")


class Bucket:
    """A prefix in S3. Credentials and region come from where AWS keeps them.

    An object goes in one part with its sha256, which S3 checks and keeps: of an upload in parts it would keep none of the whole.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
    """

    _ONE_PART = 5 << 30  # bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html

    def __init__(self, bucket: str, prefix: str, endpoint: str = "") -> None:
        self._bucket, self._prefix, self._endpoint = bucket, f"{prefix}/" if prefix else "", endpoint or None
        self._made: Any = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def size(self, key: str) -> int | None:
        from botocore.exceptions import ClientError

        with self._translated(key, "looked at"):
            try:
                return int(self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)["ContentLength"])
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                    return None
                raise

    def put(self, key: str, path: Path, sha256: str, *, give: bool = False) -> None:
        if not give:
            _check(path, sha256)  # not every server does
        with self._translated(key, "written"), path.open("rb") as file:
            if path.stat().st_size > self._ONE_PART:
                self._client.upload_fileobj(file, self._bucket, self._prefix + key, ExtraArgs={"ChecksumAlgorithm": "SHA256"})
                return
            checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=file, ChecksumSHA256=checksum)

    def read(self, key: str) -> Iterator[bytes]:
        with self._translated(key, "read"):
            body = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"]
            yield from iter(lambda: body.read(CHUNK), b"")

    @property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        with self._lock:
            if self._made is None:
                config = Config(
                    connect_timeout=10, read_timeout=60, max_pool_connections=16, retries={"mode": "standard", "total_max_attempts": 5}
                )
                self._made = boto3.session.Session().client("s3", endpoint_url=self._endpoint, config=config)
            return self._made

    @contextlib.contextmanager
    def _translated(self, key: str, done: str) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            said = error.response.get("Error", {})
            text = f"{self.name}/{key} cannot be {done}: {said.get('Code')}: {said.get('Message')}"
            raise ArchiveError(text, "nothing is lost: run it again, it goes on where it was") from error
        except (BotoCoreError, Boto3Error, OSError) as error:
            text = f"{self.name}/{key} cannot be {done}: {error}"
            raise ArchiveError(text, "nothing is lost: look at the network and the credentials, then run it again") from error
