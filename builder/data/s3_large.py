"""Large files to and from S3, in parts and several at once: boto3's managed transfers, hashed as they pass, in bounded memory.

Imported only where there is one.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import boto3
import botocore.session
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from builder.data.local_files import HashingReader, HashingWriter

_PART = 8 << 20  # bytes
_AT_ONCE = 4
_MANY = 9000  # parts; S3 takes 10,000: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html


class LargeFiles:
    """Transfers of one bucket. Each holds up to 2 * 4 parts of 8 MB in memory."""

    def __init__(self, session: botocore.session.Session, bucket: str, endpoint: str | None, config: Config) -> None:
        self._bucket = bucket
        with_transfers = boto3.Session(botocore_session=session)
        self._plain, self._exclusive = (with_transfers.client("s3", endpoint_url=endpoint, config=config) for _ in range(2))
        # upload_fileobj has no name for it, though S3 has: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
        self._exclusive.meta.events.register("provide-client-params.s3.CompleteMultipartUpload", _only_if_absent)

    def upload(self, key: str, source: BinaryIO, size: int, sha256: str, what: str, *, new: bool) -> None:
        """Raises IntegrityError, and takes back what was sent, when `source` does not hash to `sha256`."""
        client = self._exclusive if new else self._plain
        source.seek(0)
        reader = HashingReader(source, sha256, what)  # it cannot seek: so it is read once, in order
        client.upload_fileobj(reader, self._bucket, key, ExtraArgs={"ChecksumAlgorithm": "SHA256"}, Config=_config(size))

    def download(self, key: str, target: BinaryIO, size: int, sha256: str, what: str) -> None:
        """Raises IntegrityError when what came does not hash to `sha256`."""
        writer = HashingWriter(target)  # it cannot seek: so it is written in order
        self._plain.download_fileobj(self._bucket, key, writer, Config=_config(size))
        writer.check(sha256, what)


def _config(size: int) -> TransferConfig:
    part = max(_PART, size // _MANY + 1)
    config = TransferConfig(
        multipart_threshold=part, multipart_chunksize=part, max_concurrency=_AT_ONCE, preferred_transfer_client="classic"
    )
    config.max_in_memory_upload_chunks = config.max_in_memory_download_chunks = _AT_ONCE
    return config


def _only_if_absent(params: dict[str, Any], **_: object) -> dict[str, Any]:
    return {**params, "IfNoneMatch": "*"}
