"""A server that lies, floods or stalls gets an error of ours, and neither our memory nor our secrets."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from builder.errors import BuilderError, IntegrityError, StoreError
from builder.model.oci import MANIFEST, sha256
from builder.model.reference import Repository
from builder.stores.registry import Credential, RegistryStore, Retry
from tests.fixtures.pushes import BASE, TAG, blob, image, push
from tests.fixtures.registry_server import Raw, RegistryServer, Reset, Slow, Status

Connect = Callable[..., RegistryStore]
SECRET = "s3cret-word"


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as made:
        yield made


@pytest.fixture
def connect() -> Iterator[Connect]:
    def make(server: RegistryServer, **kinds: object) -> RegistryStore:
        options = {
            "credentials": lambda host: Credential("me", SECRET),
            "retry": Retry(tries=3, sleep=lambda seconds: None),
            "timeout": 0.5,
        }
        return stack.enter_context(closing(RegistryStore(server.repository(), **{**options, **kinds})))  # type: ignore[arg-type]

    with ExitStack() as stack:
        yield make


def always(request: object) -> bool:
    return True


def raw(*lines: str, body: bytes = b"") -> Raw:
    return Raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


HOSTILE = {
    "nothing at all": Raw(b""),
    "not HTTP": Raw(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "a status that is no number": raw("HTTP/1.1 abc OK"),
    "a status out of range": raw("HTTP/1.1 999 What"),
    "a negative length": raw("HTTP/1.1 200 OK", "Content-Length: -5", body=b"{}"),
    "a length that is no number": raw("HTTP/1.1 200 OK", "Content-Length: many", body=b"{}"),
    "two lengths": raw("HTTP/1.1 200 OK", "Content-Length: 2", "Content-Length: 9", body=b"{}"),
    "a length that is never reached": raw("HTTP/1.1 200 OK", "Content-Length: 1000000000000", body=b"{}"),
    "a bad chunk": raw("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n"),
    "a negative chunk": raw("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"-5\r\n{}\r\n"),
    "a header without an end": Raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
    "ten thousand headers": raw("HTTP/1.1 200 OK", *(f"X-{number}: y" for number in range(10_000))),
    "HTML": Status(200, {"Content-Type": "text/html"}, b"<html>log in here</html>"),
    "deep JSON": Status(200, {}, b'{"tags":' + b"[" * 100_000),
    "JSON of another shape": Status(200, {}, b"[1, 2]"),
    "tags that are no list": Status(200, {}, b'{"tags": "latest"}'),
    "a redirect to nowhere": Status(307),
    "a redirect to a file": Status(307, {"Location": "file:///etc/passwd"}),
    "a redirect with a line break": Raw(b"HTTP/1.1 307 X\r\nLocation: /v2/\r\n X-Evil: yes\r\nContent-Length: 0\r\n\r\n"),
    "a redirect without encryption": Status(307, {"Location": "http://registry.example/v2/"}),
    "a redirect to a host with a user": Status(307, {"Location": "http://me:you@127.0.0.1/v2/"}),
    "an error with control characters": Status(400, {}, b'{"errors":[{"code":"\\u001b[31m","message":"\\r\\n\\u0000"}]}'),
    "errors that are no list": Status(400, {}, b'{"errors":{"a":1}}'),
    "an error of 20 MB": Status(500, {}, b"x" * 20_000_000),
    "a challenge without a realm": Status(401, {"WWW-Authenticate": "Bearer"}),
    "a challenge of nonsense": Status(401, {"WWW-Authenticate": 'Bearer realm="\t://[", ,,="'}),
    "a challenge for another scheme": Status(401, {"WWW-Authenticate": "Negotiate"}),
    "no challenge": Status(401),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_an_error_of_ours_or_nothing(server: RegistryServer, connect: Connect, name: str) -> None:
    server.fault(always, HOSTILE[name], times=10_000)
    store = connect(server)
    actions: list[Callable[[], object]] = [
        lambda: store.get_manifest(sha256(image())),
        lambda: list(store.open_blob(sha256(BASE))),
        lambda: list(store.remove([sha256(image())])),
        lambda: store.has_blob(sha256(BASE)),
        lambda: push(store),
        store.list_tags,
        lambda: list(store.held()),
        lambda: store.referrers(sha256(image())),
    ]
    for action in actions:
        try:
            action()
        except BuilderError as error:
            assert "127.0.0.1" in error.message
            assert error.hint
            assert error.message.isprintable()
            assert SECRET not in error.message
    assert not server.state.repo("team/app").tags
    assert len(server.requests) < 100


@pytest.mark.parametrize(
    "location",
    [
        b"/v2/x\r\n X-Evil: yes",
        b"http://evil.example/v2/x",
        b"gopher://127.0.0.1/",
        b"",
        b"/a b",
        b"http://[",
        b"\xff\xfe",
        b"//me@127.0.0.1/x",
    ],
)
def test_a_hostile_upload_location_is_not_followed(server: RegistryServer, connect: Connect, location: bytes) -> None:
    head = b"HTTP/1.1 202 Accepted\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    server.fault(lambda request: request.method == "POST", Raw(head), times=100)
    with pytest.raises(StoreError, match="127"):
        push(connect(server))
    assert not server.seen("PUT")


def test_redirects_in_a_circle_end(server: RegistryServer, connect: Connect) -> None:
    server.fault(always, Status(307, {"Location": "/v2/team/app/manifests/x"}), times=1000)
    with pytest.raises(StoreError, match="redirects"):
        connect(server).get_manifest("x")
    assert len(server.requests) == 5


def test_an_endless_answer_is_cut_off(server: RegistryServer, connect: Connect) -> None:
    server.fault(always, Status(200, {}, b"x" * 40_000_000), times=100)
    store = connect(server)
    tracemalloc.start()
    try:
        for action in (store.list_tags, lambda: store.get_manifest("x")):
            with pytest.raises(StoreError, match="longer than"):
                action()
        assert tracemalloc.get_traced_memory()[1] < 45_000_000
    finally:
        tracemalloc.stop()


def test_a_list_of_tags_without_end_ends(server: RegistryServer, connect: Connect) -> None:
    again = {"Link": '</v2/team/app/tags/list?n=1000>; rel="next"'}
    server.fault(always, Status(200, again, b'{"tags":["a","bad tag",5,null]}'), times=1000)
    assert connect(server).list_tags() == ("a",)
    assert len(server.requests) == 1
    elsewhere = {"Link": '<https://evil.example/tags>; rel="next"'}
    server.fault(always, Status(200, elsewhere, b'{"tags":["b"]}'), times=1)
    assert connect(server).list_tags() == ("a",)


def test_what_the_server_echoes_holds_no_secret(server: RegistryServer, connect: Connect) -> None:
    server.auth.kind, server.auth.users = "bearer", {"me": SECRET}
    connect(server).get_manifest(TAG)
    store = connect(server)
    store.get_manifest(TAG)
    token = next(reversed(server.auth.tokens))
    echo = f'{{"errors":[{{"code":"DENIED","message":"no: Bearer {token} {SECRET}"}}]}}'.encode()
    server.fault(always, Status(403, {}, echo), times=10)
    with pytest.raises(BuilderError, match=r"Bearer \*\*\*") as caught:
        store.get_manifest(TAG)
    assert token not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert token not in caught.value.message


def test_a_server_that_stalls_is_given_up(server: RegistryServer, connect: Connect) -> None:
    server.fault(always, Slow(0.3), times=100)
    with pytest.raises(StoreError, match="ReadTimeoutError"):
        connect(server, timeout=0.1).get_manifest("x")
    assert len(server.requests) == 3


@pytest.mark.parametrize("answer", ["bytes 600000-600001/700000", "bytes -5-6/7", "nonsense", ""])
def test_another_range_than_asked_for_is_refused(server: RegistryServer, connect: Connect, answer: str) -> None:
    data = bytes(range(256)) * 2000
    digest = server.add_blob("team/app", data)
    half = raw("HTTP/1.1 200 OK", f"Content-Length: {len(data)}", body=data[:300_000])
    server.fault(0, half)
    server.fault(1, Status(206, {"Content-Range": answer}, data[300_000:]))
    with pytest.raises(StoreError, match="asked for bytes from"):
        list(connect(server).open_blob(digest))


def test_a_range_that_begins_too_early_is_cut(server: RegistryServer, connect: Connect) -> None:
    data = bytes(range(256)) * 2000
    digest = server.add_blob("team/app", data)
    server.fault(0, raw("HTTP/1.1 200 OK", f"Content-Length: {len(data)}", body=data[:300_000]))
    server.fault(1, Status(206, {"Content-Range": f"bytes 1000-{len(data) - 1}/{len(data)}"}, data[1000:]))
    assert b"".join(connect(server).open_blob(digest)) == data


def test_a_registry_that_stores_something_else_is_found_out(server: RegistryServer, connect: Connect) -> None:
    lie = {"Docker-Content-Digest": sha256(b"lie")}
    server.fault(lambda request: request.method == "PUT", Status(201, lie, b""))
    with pytest.raises(IntegrityError, match="stored as"):
        push(connect(server))
    server.fault(lambda request: request.method == "PUT" and "manifests" in request.path, Status(201, lie, b""))
    with pytest.raises(IntegrityError, match="stored as"):
        push(connect(server))


def test_an_index_of_referrers_that_is_none(server: RegistryServer, connect: Connect) -> None:
    store = connect(server)
    digest = push(store)
    server.add_manifest("team/app", b"[]", MANIFEST, digest.replace(":", "-"))
    data = image().replace(b'"schemaVersion"', b'"subject":{"digest":"' + digest.encode() + b'","mediaType":"x","size":1},"schemaVersion"')
    with pytest.raises(IntegrityError, match="referrers"):
        store.put_manifest(data, MANIFEST)


def test_no_such_host_is_said_at_once() -> None:
    waits: list[float] = []
    with closing(RegistryStore(Repository("no-such-host.invalid", "a/b"), retry=Retry(sleep=waits.append))) as store:
        with pytest.raises(StoreError, match="no such host") as caught:
            store.get_manifest("x")
        assert caught.value.hint
    assert waits == []


def test_a_registry_that_is_down_is_said_after_a_few_tries(server: RegistryServer, connect: Connect) -> None:
    waits: list[float] = []
    with RegistryServer() as gone:
        store = connect(gone, retry=Retry(tries=3, sleep=waits.append))
    with pytest.raises(StoreError, match="refused"):
        store.put_blob(blob(BASE), lambda: pytest.fail("read"))
    assert len(waits) == 2


def test_a_registry_that_has_to_be_asked_again_is_told_of(server: RegistryServer, connect: Connect) -> None:
    said: list[str] = []
    server.fault(always, Status(503))
    assert connect(server, retry=Retry(sleep=lambda _: None), notice=said.append).list_tags() == ()
    assert said == [f"{server.host} answers 503, trying again"]


def test_a_page_instead_of_a_manifest(server: RegistryServer, connect: Connect) -> None:
    server.fault(always, Status(200, {"Content-Type": "text/html"}, b"<html>log in here</html>"))
    with pytest.raises(StoreError, match=rf"{server.repository()}: what came as {TAG} is not an image manifest") as caught:
        connect(server).get_manifest(TAG)
    assert server.host in caught.value.hint


def test_a_list_that_goes_on_elsewhere_is_not_half_a_list(server: RegistryServer, connect: Connect) -> None:
    server.fault(always, Status(200, {"Link": '<http://other.example/v2/x/tags/list?n=1>; rel="next"'}, b'{"tags": ["a"]}'))
    with pytest.raises(StoreError, match=r"goes on at another place, other\.example"):
        connect(server).list_tags()


def test_encryption_is_asked_for_elsewhere(server: RegistryServer) -> None:
    """The fixture speaks no TLS: a host that is not loopback by name must not be spoken to in plain text."""
    server.fault(always, Reset("before"))
    store = RegistryStore(Repository(server.host.replace("127.0.0.1", "127.0.0.1.nip.invalid"), "a/b"), retry=Retry(tries=1))
    assert store._client.url("x").startswith("https://")
    store.close()
