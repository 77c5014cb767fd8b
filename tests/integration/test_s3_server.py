"""The data root on a real S3 server: what only a server can show."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import pytest

from builder.data import s3
from builder.data.s3 import S3Objects
from builder.errors import AuthError, DataError, IntegrityError
from tests.fixtures.roots import credentials
from tests.fixtures.servers import S3Server


@pytest.fixture
def root(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Objects:
    credentials(monkeypatch, s3_server.key, s3_server.secret)
    return S3Objects(s3_server.bucket, uuid.uuid4().hex, s3_server.endpoint)


def test_a_wrong_secret_is_an_auth_error(root: S3Objects, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    credentials(monkeypatch, s3_server.key, "another")
    stranger = S3Objects(s3_server.bucket, "", s3_server.endpoint)
    (tmp_path / "large").write_bytes(bytes(65 << 20))
    for call in (
        lambda: stranger.get("a"),
        lambda: list(stranger.list()),
        lambda: stranger.put("a", b"", new=True),
        lambda: stranger.put_file("a", tmp_path / "large", hashlib.sha256(bytes(65 << 20)).hexdigest()),
        lambda: stranger.delete(["a"]),
    ):
        with pytest.raises(AuthError, match=f"s3://{s3_server.bucket}") as caught:
            call()
        assert "another" not in caught.value.message


def test_a_bucket_that_is_not_there(root: S3Objects, s3_server: S3Server) -> None:
    with pytest.raises(DataError, match="NoSuchBucket"):
        S3Objects("no-such-bucket", "", s3_server.endpoint).put("a", b"")


def test_a_browser_is_told_what_a_page_is(root: S3Objects, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"<!doctype html>")
    root.put("page/index.html", b"<!doctype html>")
    root.put_file("page/other.html", tmp_path / "file", hashlib.sha256(b"<!doctype html>").hexdigest())
    root.put("ledger/a/run.json", b"{}")
    kinds = [
        root._client.head_object(Bucket=root._bucket, Key=root._at(found.key))["ContentType"] for found in sorted(root.list(), key=str)
    ]
    assert kinds == ["binary/octet-stream", *["text/html; charset=utf-8"] * 2]


@pytest.mark.parametrize("size", [1000, 20 << 20])
def test_a_file_that_changes_while_it_is_sent(root: S3Objects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int) -> None:
    """It is hashed before it is sent, in one piece; the server, which hashes it again, is who notices. In parts: it is hashed meanwhile."""
    monkeypatch.setattr(s3, "_LARGE", 10 << 20)
    monkeypatch.setattr(s3, "check_file", lambda *_: None)
    (tmp_path / "file").write_bytes(b"x" * size)
    with pytest.raises(IntegrityError):
        root.put_file("a", tmp_path / "file", hashlib.sha256(b"before").hexdigest(), new=True)
    assert list(root.list()) == []
    uploads = root._client.list_multipart_uploads(Bucket=root._bucket, Prefix=root._prefix)
    assert uploads.get("Uploads", []) == []
