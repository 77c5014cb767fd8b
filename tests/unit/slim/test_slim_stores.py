"""The archive in a directory, in S3 inside this process, and in a real one: the same contract. And what fails, fails plainly."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from repo_slim.errors import ArchiveError, AskedError, DamagedError
from repo_slim.slim import Asked, run
from repo_slim.stores import Bucket, Directory, Store, hash_of, open_store
from tests.fixtures.roots import KINDS, bucket_in_process, credentials
from tests.fixtures.servers import S3Server
from tests.fixtures.slim_history import BIG, git, make
from tests.fixtures.slimming import outcome


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty one."""
    if request.param == "directory":
        yield open_store(str(tmp_path / "archive"))
    elif request.param == "moto":
        with bucket_in_process(monkeypatch) as bucket:
            yield open_store(f"s3://{bucket}/team/data/")
    else:
        server = request.getfixturevalue("s3_server")
        credentials(monkeypatch, server.key, server.secret)
        yield open_store(f"s3://{server.bucket}/{uuid.uuid4().hex}", server.endpoint)


def put(store: Store, key: str, data: bytes, folder: Path, sha256: str = "", **options: bool) -> str:
    path = folder / "given"
    path.write_bytes(data)
    sha256 = sha256 or hashlib.sha256(data).hexdigest()
    store.put(key, path, sha256, **options)
    return sha256


@pytest.mark.parametrize("give", [False, True])
@pytest.mark.parametrize("data", [b"", b"some bytes", bytes(3 << 20)])
def test_what_is_put_can_be_read_back(store: Store, tmp_path: Path, data: bytes, give: bool) -> None:
    sha256 = put(store, "archive/blobs/ab/abcd", data, tmp_path, give=give)
    assert store.size("archive/blobs/ab/abcd") == len(data)
    assert b"".join(store.read("archive/blobs/ab/abcd")) == data
    assert hash_of(store, "archive/blobs/ab/abcd") == sha256


def test_what_is_there_is_replaced_whole(store: Store, tmp_path: Path) -> None:
    put(store, "a/b", b"damaged", tmp_path)
    put(store, "a/b", b"right", tmp_path, give=True)
    assert b"".join(store.read("a/b")) == b"right"


def test_what_is_not_there(store: Store) -> None:
    assert store.size("a/b") is None
    with pytest.raises(ArchiveError, match="a/b cannot be read"):
        list(store.read("a/b"))


def test_bytes_that_are_others_are_not_kept(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match="does not hash to"):
        put(store, "a/b", b"other bytes", tmp_path, "0" * 64)
    assert store.size("a/b") is None


def test_s3_is_told_the_hash_of_the_whole(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And keeps it: of an upload in parts it would keep one of the parts' hashes."""
    import boto3

    credentials(monkeypatch, s3_server.key, s3_server.secret)
    prefix = uuid.uuid4().hex
    sha256 = put(open_store(f"s3://{s3_server.bucket}/{prefix}", s3_server.endpoint), "a/b", bytes(9 << 20), tmp_path)
    client = boto3.client("s3", endpoint_url=s3_server.endpoint)
    told = client.head_object(Bucket=s3_server.bucket, Key=f"{prefix}/a/b", ChecksumMode="ENABLED")
    assert base64.b64decode(told["ChecksumSHA256"]).hex() == sha256


@pytest.mark.parametrize("text", ["ftp://x/y", "s3://", "s3://a", "s3:///key"])
def test_no_place_for_an_archive(text: str) -> None:
    with pytest.raises(AskedError, match="is no place for an archive"):
        open_store(text)


def test_what_is_kept_cannot_be_changed_by_accident(tmp_path: Path) -> None:
    for give in (False, True):
        put(Directory(tmp_path / "archive"), f"a/{give}", b"bytes", tmp_path, give=give)
        assert (tmp_path / "archive" / "a" / str(give)).stat().st_mode & 0o777 == 0o444
    assert not any((tmp_path / "archive" / ".tmp").iterdir())


def test_what_a_killed_process_left_goes_after_a_day(tmp_path: Path) -> None:
    folder = tmp_path / "archive" / ".tmp"
    folder.mkdir(parents=True)
    for name, age in (("old", 90_000), ("new", 0)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age,) * 2)
    put(Directory(tmp_path / "archive"), "a/b", b"bytes", tmp_path)
    assert [path.name for path in folder.iterdir()] == ["new"]


# a slimming whose archive fails

RULES = {"drop_over": BIG, "protect": ("refs/heads/none",)}
"""Nothing but HEAD's own tip is spared, so that a short history loses much."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "source.git", 60).directory


def asked(source: Path, **more: Any) -> Asked:
    return Asked(str(source), source.parent / "work", more.pop("archive", str(source.parent / "archive")), **more)


def archived(place: Path) -> list[Path]:
    return sorted(path for path in (place / "archive/archive/blobs").rglob("*") if path.is_file())


def test_a_damaged_object_is_named_and_archived_anew(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = run(asked(source, rules=RULES))
    monkeypatch.setattr("repo_slim.approved.rewrite", breaking(source.parent))
    with pytest.raises(DamagedError, match=r"archive/blobs/../[0-9a-f]{64} does not hash to its name") as raised:
        run(asked(source, approve=planned["approve"]))
    assert "archived anew" in raised.value.hint
    monkeypatch.undo()
    assert run(asked(source, approve=planned["approve"]))["stage"] == "verified"
    for path in archived(source.parent):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def breaking(place: Path) -> Any:
    """After the archive was written, one byte of it turns."""
    from repo_slim.rewrite import rewrite

    def call(*args: Any, **options: Any) -> Any:
        path = archived(place)[0]
        path.chmod(0o644)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        return rewrite(*args, **options)

    return call


def test_an_object_that_somebody_took_away(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = run(asked(source, rules=RULES))
    run(asked(source, approve=planned["approve"]))
    lost = archived(source.parent)[0]
    lost.unlink()
    (source.parent / "work" / "slim.git" / "HEAD").unlink()  # so that it is rewritten, and with that verified, again
    state = source.parent / "work" / "state.json"
    state.write_text(state.read_text().replace('"verified"', '"was-verified"'))
    with pytest.raises(ArchiveError, match=f"{lost.name} cannot be read"):
        run(asked(source, approve=planned["approve"]))
    assert run(asked(source, approve=planned["approve"]))["stage"] == "verified" and lost.exists()


def test_a_full_disk(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = run(asked(source, rules=RULES))
    left = 5

    def full(_: int) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("repo_slim.stores.os.fsync", full)
    with pytest.raises(ArchiveError, match="No space left on device") as raised:
        run(asked(source, approve=planned["approve"]))
    assert "run it again" in raised.value.hint
    monkeypatch.undo()
    assert run(asked(source, approve=planned["approve"]))["stage"] == "verified"


def test_an_error_of_s3_in_the_middle(source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is there by then stays, and is not sent again."""
    with bucket_in_process(monkeypatch) as bucket:
        place = f"s3://{bucket}/data"
        planned = run(asked(source, archive=place, rules=RULES))
        failing = {"at": 4}
        sent = counted(monkeypatch, failing)
        with pytest.raises(ArchiveError, match="SlowDown") as raised:
            run(asked(source, archive=place, approve=planned["approve"]))
        assert "nothing is lost" in raised.value.hint
        there = set(sent)
        failing["at"], sent[:] = 0, []
        told = run(asked(source, archive=place, approve=planned["approve"]))
        assert told["stage"] == "verified" and there and not there & set(sent)
        store = open_store(place)
        for line in (source.parent / "work/objects.jsonl").read_text().splitlines():
            sha256 = line.split('"sha256":"')[1][:64]
            assert hash_of(store, f"archive/blobs/{sha256[:2]}/{sha256}") == sha256


def counted(monkeypatch: pytest.MonkeyPatch, failing: dict[str, int]) -> list[str]:
    """The keys that are sent. After so many as `failing["at"]` says, none is taken; 0: all are."""
    from botocore.exceptions import ClientError

    real, sent = Bucket._client.fget, []  # type: ignore[attr-defined]

    class Client:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def put_object(self, **options: Any) -> Any:
            if failing["at"] and len(sent) >= failing["at"]:
                raise ClientError({"Error": {"Code": "SlowDown", "Message": "Please reduce your request rate."}}, "PutObject")
            sent.append(options["Key"])
            return self._inner.put_object(**options)

    monkeypatch.setattr(Bucket, "_client", property(lambda self: Client(real(self))))
    return sent


def test_the_same_in_a_directory_and_in_s3(source: Path, store: Store, tmp_path: Path) -> None:
    """Whatever keeps it, the history that comes out is the same."""
    if isinstance(store, Directory):
        endpoint, place = "", store.name
    else:
        endpoint, place = store._endpoint or "", store.name  # type: ignore[attr-defined]
    planned = run(asked(source, archive=place, endpoint=endpoint, rules=RULES))
    run(asked(source, archive=place, endpoint=endpoint, approve=planned["approve"]))
    refs = git(source.parent / "work/slim.git", "for-each-ref")
    other = source.parent / "other"
    again = Asked(str(source), other / "work", str(other / "archive"), rules=RULES)
    run(Asked(str(source), other / "work", str(other / "archive"), approve=run(again)["approve"]))
    found = outcome(other / "work", other / "archive")
    assert found["refs"] == refs
    for key, sha256 in found["archive"].items():
        assert hash_of(store, key) == sha256
