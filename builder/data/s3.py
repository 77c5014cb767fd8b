"""The data root in S3, or in anything that speaks it: an object is an object, its key behind the prefix.

Imported only where the data root is one: botocore takes 0.3 s. (Without boto3 on top, which is for large files, 0.1 s less.)
`new` is a conditional write: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp

from builder.aws import be_the_role
from builder.data.interface import Found
from builder.data.keys import check_key, check_prefix, is_key
from builder.data.local_files import check_file, copy_verified, local_source, local_target
from builder.data.s3_errors import BROKEN_OFF, is_absent, status, translated, tried_again
from builder.errors import DataError, SettingsError

_LARGE = 64 << 20  # bytes; such files go in parts
_LARGE_AT_ONCE = 2  # because of the memory they take
_WORTH_A_LOOK = 1 << 20  # bytes; a smaller file is sent without asking first whether it is there
_CONFLICT_WAITS = (0.1, 0.5, 2.0)  # seconds
_BODY_TRIES = 3
_DELETE_AT_ONCE = 1000  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
_CONFIG = Config(connect_timeout=10, read_timeout=60, max_pool_connections=32, retries={"mode": "standard", "total_max_attempts": 5})

T = TypeVar("T")


class S3Objects:
    """A prefix in a bucket. Credentials, region and all else come from where AWS keeps them.

    `endpoint`: the server's URL where it is not Amazon's; without it AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL count.
    """

    def __init__(self, bucket: str, prefix: str = "", endpoint: str = "") -> None:
        self._bucket, self._prefix, self._endpoint = bucket, f"{prefix}/" if prefix else "", endpoint or None
        be_the_role()
        self._session = botocore.session.get_session()
        self._session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_time)
        self._opening = threading.Lock()  # making a client is the one thing that threads must not do at once
        self._large_turns = threading.BoundedSemaphore(_LARGE_AT_ONCE)

    @property
    def name(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def url(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._at(key)}"

    # reading

    def get(self, key: str) -> bytes | None:
        with self._translated(key, "read"):
            return self._read(key, lambda answer: bytes(answer["Body"].read()))

    def find(self, key: str) -> Found | None:
        with self._translated(key, "read"):
            try:
                seen = self._client.head_object(Bucket=self._bucket, Key=self._at(key))
            except ClientError as error:
                if is_absent(error):
                    return None
                raise
        return Found(key, seen["ContentLength"], seen["LastModified"].timestamp())

    def fetch_file(self, key: str, path: Path, sha256: str) -> bool:
        def fill(answer: Any) -> bool:
            with local_target(path) as file:
                if answer["ContentLength"] <= _LARGE:
                    copy_verified(answer["Body"], file, sha256, self.url(key))
                else:
                    answer["Body"].close()
                    with self._large_turns:
                        self._large.download(self._at(key), file, answer["ContentLength"], sha256, self.url(key))
            return True

        with self._translated(key, "read"):
            return self._read(key, fill) or False

    def list(self, prefix: str = "") -> Iterator[Found]:
        check_prefix(prefix)
        with translated(f"{self.name}/{prefix}", "listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
            for item in itertools.chain.from_iterable(page.get("Contents", ()) for page in pages):
                key = item["Key"].removeprefix(self._prefix)
                if is_key(key):
                    yield Found(key, item["Size"], item["LastModified"].timestamp())

    def folders(self, prefix: str = "") -> Iterator[str]:
        whole = self._prefix + check_prefix(prefix)
        with translated(f"{self.name}/{prefix}", "listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=whole, Delimiter="/")
            for item in itertools.chain.from_iterable(page.get("CommonPrefixes", ()) for page in pages):
                name = item["Prefix"].removeprefix(whole).rstrip("/")
                if is_key(prefix + name):
                    yield name

    # writing

    def put(self, key: str, data: bytes, *, new: bool = False) -> bool:
        options = {"Body": data, **_kind(key), "ChecksumSHA256": _base64(hashlib.sha256(data).hexdigest()), **_only(new)}
        with self._translated(key, "written"):
            refusal = _taken(lambda: self._client.put_object(Bucket=self._bucket, Key=self._at(key), **options))
            # a try that got through while its answer was lost makes the next one fail
            return refusal is None or (tried_again(refusal) and self.get(key) == data)

    def put_file(self, key: str, path: Path, sha256: str, *, new: bool = False) -> bool:
        with local_source(path) as file, self._translated(key, "written"):
            size = os.fstat(file.fileno()).st_size
            if new and size >= _WORTH_A_LOOK and self.find(key):
                return False
            if size <= _LARGE:
                check_file(file, sha256, str(path))  # not every server does
                return _taken(lambda: self._send(key, file, sha256, new)) is None
            with self._large_turns:
                return _taken(lambda: self._large.upload(self._at(key), file, size, sha256, str(path), new=new)) is None

    def _send(self, key: str, file: BinaryIO, sha256: str, new: bool) -> None:
        file.seek(0)
        options = {"Body": file, **_kind(key), "ChecksumSHA256": _base64(sha256), **_only(new)}
        self._client.put_object(Bucket=self._bucket, Key=self._at(key), **options)

    def delete(self, keys: Iterable[str]) -> None:
        wanted = iter(keys)
        while some := list(itertools.islice(wanted, _DELETE_AT_ONCE)):
            named = [{"Key": self._at(key)} for key in some]
            with translated(self.name, "deleted from"):
                answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": named, "Quiet": True})
            for error in answer.get("Errors", ()):
                raise DataError(f"s3://{self._bucket}/{error['Key']} cannot be deleted: {error.get('Code')}: {error.get('Message')}")

    # inside

    @cached_property
    def _client(self) -> Any:
        with self._opening:
            try:
                return self._session.create_client("s3", endpoint_url=self._endpoint, config=_CONFIG)
            except ValueError as error:  # an endpoint that is no URL
                raise SettingsError(f"{self.name}: {error}", "look at [data] endpoint and AWS_ENDPOINT_URL") from error

    @cached_property
    def _large(self) -> Any:
        from builder.data.s3_large import LargeFiles

        with self._opening:
            return LargeFiles(self._session, self._bucket, self._endpoint, _CONFIG)

    def _read(self, key: str, use: Callable[[Any], T]) -> T | None:
        """What `use` makes of the object, or None. botocore tries a request again, but not the reading of its answer: this does."""
        for _ in range(_BODY_TRIES - 1):
            with suppress(*BROKEN_OFF):
                return self._read_once(key, use)
        return self._read_once(key, use)

    def _read_once(self, key: str, use: Callable[[Any], T]) -> T | None:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._at(key))
        except ClientError as error:
            if is_absent(error):
                return None
            raise
        return use(answer)

    def _at(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _translated(self, key: str, done: str) -> AbstractContextManager[None]:
        return translated(self.url(key), done)


def _time(text: Any) -> datetime:
    """botocore's own parser, which takes any time, spends half of a long list's time on those of its objects."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (AttributeError, ValueError):
        found: datetime = parse_timestamp(text)
        return found


def _base64(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()


def _kind(key: str) -> dict[str, str]:
    """What a browser that is sent to the object must know of it."""
    return {"ContentType": "text/html; charset=utf-8"} if key.endswith(".html") else {}


def _only(new: bool) -> dict[str, str]:
    return {"IfNoneMatch": "*"} if new else {}


def _taken(send: Callable[[], object]) -> ClientError | None:
    """Sends; the server's refusal when something is there already, None when there was not."""
    for wait in _CONFLICT_WAITS:
        refusal = _refusal(send, (409, 412))
        if refusal is None or status(refusal) == 412:
            return refusal
        time.sleep(wait)  # 409: someone else writes the same key at this moment
    return _refusal(send, (412,))


def _refusal(send: Callable[[], object], expected: tuple[int, ...]) -> ClientError | None:
    try:
        send()
    except ClientError as error:
        if status(error) in expected:
            return error
        raise
    return None
