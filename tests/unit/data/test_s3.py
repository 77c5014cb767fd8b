"""A data root in S3, beyond what every root does: what servers answer when they do not do what was asked, and what then."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, CredentialRetrievalError, EndpointConnectionError, ReadTimeoutError, ResponseStreamingError

from builder.data import s3
from builder.data.interface import Objects
from builder.data.open import open_root
from builder.data.s3 import S3Objects
from builder.errors import AuthError, BuilderError, DataError, IntegrityError, SettingsError
from tests.fixtures.roots import bucket_in_process, credentials


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Objects]:
    with bucket_in_process(monkeypatch) as bucket:
        yield S3Objects(bucket, "team")


def refuse(code: str, status: int, retries: int = 0) -> ClientError:
    meta = {"HTTPStatusCode": status, "RetryAttempts": retries}
    return ClientError({"Error": {"Code": code, "Message": f"it says {code}"}, "ResponseMetadata": meta}, "AnyOperation")  # type: ignore[arg-type]


def answering(monkeypatch: pytest.MonkeyPatch, root: S3Objects, verb: str, *answers: Exception | None) -> list[dict[str, Any]]:
    """Lets the client's `verb` fail so, one call after the other; None, and all calls after, do what they should. Returns the calls."""
    real, left, calls = getattr(root._client, verb), list(answers), []

    def call(**options: Any) -> Any:
        calls.append(options)
        answer = left.pop(0) if left else None
        if answer is not None:
            getattr(options.get("Body"), "read", lambda: None)()  # the server has seen all of it before it says no
            raise answer
        return real(**options)

    monkeypatch.setattr(root._client, verb, call)
    monkeypatch.setattr("time.sleep", lambda _: None)
    return calls


REFUSALS = [
    (refuse("AccessDenied", 403), AuthError, "s3:ListBucket"),
    (refuse("InvalidAccessKeyId", 403), AuthError, "AWS_PROFILE"),
    (refuse("ExpiredToken", 400), AuthError, "aws sts get-caller-identity"),
    (refuse("NoSuchBucket", 404), DataError, "create the bucket"),
    (refuse("SlowDown", 503), DataError, "try again"),
    (CredentialRetrievalError(provider="sso", error_msg="expired"), AuthError, "AWS_PROFILE"),
    (EndpointConnectionError(endpoint_url="http://s3.example.com"), DataError, "[data] endpoint"),
    (ReadTimeoutError(endpoint_url="http://s3.example.com"), DataError, "[data] endpoint"),
]


@pytest.mark.parametrize(("error", "kind", "hint"), REFUSALS)
def test_what_goes_wrong_names_the_object_and_what_to_do(
    root: S3Objects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, kind: type[BuilderError], hint: str
) -> None:
    (tmp_path / "source").write_bytes(b"")
    for verb, call in (
        ("put_object", lambda: root.put("a/b", b"")),
        ("put_object", lambda: root.put_file("a/b", tmp_path / "source", hashlib.sha256().hexdigest())),
        ("get_object", lambda: root.get("a/b")),
        ("get_object", lambda: root.fetch_file("a/b", tmp_path / "target", hashlib.sha256().hexdigest())),
    ):
        answering(monkeypatch, root, verb, *[error] * 9)
        with pytest.raises(kind, match=r"s3://bucket/team/a/b cannot be (read|written)") as caught:
            call()
        assert type(caught.value) is kind
        assert hint in caught.value.hint


def test_no_bucket_is_no_empty_one(root: S3Objects) -> None:
    other = S3Objects("another", "team")
    for call in (lambda: list(other.list("x")), lambda: other.get("a"), lambda: other.put("a", b""), lambda: other.delete(["a"])):
        with pytest.raises(DataError, match=r"s3://another/team.* cannot be .*NoSuchBucket"):
            call()


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials(monkeypatch, "", "")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AuthError, match="Unable to locate credentials"):
        S3Objects("bucket", "", "http://127.0.0.1:1").get("a")
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    with pytest.raises(AuthError, match="nobodys"):
        S3Objects("bucket", "", "http://127.0.0.1:1").get("a")


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials(monkeypatch, "key", "secret")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(DataError, match=r"s3://bucket cannot be listed|s3://bucket/ cannot be listed") as caught:
        list(S3Objects("bucket", "", "http://127.0.0.1:1").list())
    assert "[data] endpoint" in caught.value.hint


def test_the_endpoint_of_the_environment_counts_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials(monkeypatch, "key", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:2")
    assert S3Objects("bucket")._client.meta.endpoint_url == "http://127.0.0.1:2"
    assert S3Objects("bucket", "", "http://127.0.0.1:3")._client.meta.endpoint_url == "http://127.0.0.1:3"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not a url")
    with pytest.raises(SettingsError, match="not a url"):
        S3Objects("bucket").get("a")


def test_a_lost_answer_to_a_write_that_got_through(root: S3Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore sent it twice: the first time it was written, the second time it was there already, by us."""
    root.put("ours", b"mine")
    answering(monkeypatch, root, "put_object", refuse("PreconditionFailed", 412, retries=1), refuse("PreconditionFailed", 412, retries=1))
    assert root.put("ours", b"mine", new=True) is True
    assert root.put("ours", b"yours", new=True) is False


def test_two_who_write_at_the_same_moment_try_again(root: S3Objects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html: 409 means to send it again."""
    conflict = refuse("ConditionalRequestConflict", 409)
    answering(monkeypatch, root, "put_object", conflict, conflict)
    (tmp_path / "source").write_bytes(b"content")
    assert root.put_file("a", tmp_path / "source", hashlib.sha256(b"content").hexdigest(), new=True) is True
    assert root.get("a") == b"content"
    answering(monkeypatch, root, "put_object", *[conflict] * 9)
    with pytest.raises(DataError, match="ConditionalRequestConflict"):
        root.put("b", b"", new=True)


class Broken(io.BytesIO):
    """A body that ends too early."""

    def read(self, size: int | None = -1) -> bytes:
        raise ResponseStreamingError(error="connection broken")


def test_a_body_that_breaks_off_is_read_again(root: S3Objects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root.put("a", b"content")
    real, broken = root._client.get_object, []

    def get_object(**options: Any) -> Any:
        answer = real(**options)
        if broken:
            answer["Body"] = broken.pop()
        return answer

    monkeypatch.setattr(root._client, "get_object", get_object)
    broken += [Broken(), Broken()]
    assert root.get("a") == b"content"
    broken += [Broken(), Broken()]
    assert root.fetch_file("a", tmp_path / "a", hashlib.sha256(b"content").hexdigest())
    broken += [Broken(), Broken(), Broken()]
    with pytest.raises(DataError, match="connection broken"):
        root.get("a")


def test_a_server_that_sees_other_bytes_than_were_meant(root: S3Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = answering(monkeypatch, root, "put_object", refuse("BadDigest", 400))
    with pytest.raises(IntegrityError, match="BadDigest"):
        root.put("a", b"content")
    assert calls[0]["ChecksumSHA256"] == "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M="


def test_what_cannot_be_deleted_is_named(root: S3Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    error = {"Key": "team/a", "Code": "AccessDenied", "Message": "no"}
    monkeypatch.setattr(root._client, "delete_objects", lambda **_: {"Errors": [error]})
    with pytest.raises(DataError, match="s3://bucket/team/a cannot be deleted: AccessDenied"):
        root.delete(["a"])


def test_a_large_file_that_fails_leaves_no_parts(root: S3Objects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(s3, "_LARGE", 1 << 20)
    data = b"x" * (40 << 20)
    (tmp_path / "source").write_bytes(data)
    with pytest.raises(IntegrityError):
        root.put_file("a", tmp_path / "source", hashlib.sha256(b"other").hexdigest(), new=True)
    assert root._client.list_multipart_uploads(Bucket="bucket").get("Uploads", []) == []
    assert root.put_file("a", tmp_path / "source", hashlib.sha256(data).hexdigest(), new=True) is True


def test_a_large_file_that_someone_else_wrote_meanwhile(root: S3Objects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(s3, "_LARGE", 1 << 20)
    monkeypatch.setattr(root, "find", lambda _: root.put("a", b"theirs") and None)
    data = b"x" * (20 << 20)
    (tmp_path / "source").write_bytes(data)
    assert root.put_file("a", tmp_path / "source", hashlib.sha256(data).hexdigest(), new=True) is False
    assert root.get("a") == b"theirs"


def test_a_prefix_is_a_folder(root: S3Objects) -> None:
    root.put("a", b"")
    S3Objects("bucket", "team-2").put("b", b"")
    root._client.put_object(Bucket="bucket", Key="team/folder/", Body=b"")
    assert [found.key for found in root.list()] == ["a"]
    assert sorted(found.key for found in S3Objects("bucket").list()) == ["team-2/b", "team/a"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("data", "/base/data"),
        ("/somewhere/data", "/somewhere/data"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
    ],
)
def test_a_root_is_opened_by_its_name(text: str, name: str) -> None:
    opened: Objects = open_root(text, Path("/base"))
    assert opened.name == name


@pytest.mark.parametrize("text", ["s3://", "s3:///a", "s3://b/../c", "s3://bucket//a//b", "s3://buck\net/a", "gs://bucket/a", "s3://-/x"])
def test_a_root_that_is_none(text: str) -> None:
    with pytest.raises(SettingsError, match="no place for data"):
        open_root(text, Path("/base"))


def test_a_root_in_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert open_root("~/data", Path("/base")).name == "/home/ada/data"
