"""Where registries differ from each other: a test for each trap that someone fell into."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from builder.errors import AuthError, BlobUnknownError, CannotDeleteError, IntegrityError, StoreError, TagConflictError, UsageError
from builder.model.oci import CONFIG, INDEX, MANIFEST, canonical_json, sha256
from builder.model.reference import Repository
from builder.stores.interface import GONE, REMOVED
from builder.stores.registry import Credential, RegistryStore, Retry
from tests.fixtures.pushes import BASE, LAYER, SETTINGS, TAG, blob, image, push
from tests.fixtures.registry_auth import Auth
from tests.fixtures.registry_rules import Options
from tests.fixtures.registry_server import RegistryServer, Reset, Run, Status, Truncate

Servers = Callable[..., RegistryServer]
Connect = Callable[..., RegistryStore]
DIGEST = sha256(image())
ME = Credential("me", "secret")


@pytest.fixture
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        yield lambda **kinds: stack.enter_context(RegistryServer(**kinds))


@pytest.fixture
def connect() -> Iterator[Connect]:
    def make(server: RegistryServer, credential: Credential | None = None, **kinds: object) -> RegistryStore:
        options = {"credentials": lambda host: credential, "retry": Retry(sleep=lambda seconds: None), "timeout": 10.0, **kinds}
        return stack.enter_context(closing(RegistryStore(server.repository(), **options)))  # type: ignore[arg-type]

    with ExitStack() as stack:
        yield make


def asked(server: RegistryServer) -> list[str]:
    return [f"{request.method} {request.path.removeprefix('/v2/team/app/')}".split("sha256:")[0].rstrip("/") for request in server.requests]


# --- how many requests a push takes ---------------------------------------------------------------------------------------------------


def test_a_push_takes_no_request_too_many(servers: Servers, connect: Connect) -> None:
    server = servers()
    server.add_blob("team/base", BASE)
    store = connect(server)
    assert push(store) == DIGEST
    assert [request.method for request in server.requests] == ["POST", "HEAD", "POST", "PUT", "POST", "PUT", "HEAD", "PUT"]
    assert server.requests[0].query == {"mount": [sha256(BASE)], "from": ["team/base"]}
    assert store.requests == 8
    assert push(store) == DIGEST
    assert store.requests == 9  # the same again: one look at the tag


def test_another_process_sends_what_is_small_and_looks_before_what_is_large(servers: Servers, connect: Connect) -> None:
    server = servers()
    push(connect(server), mount_from="")
    server.requests.clear()
    store = connect(server)
    assert store.put_blob(blob(LAYER), lambda: pytest.fail("read")) is False
    assert [request.method for request in server.requests] == ["HEAD"]
    assert store.put_blob(blob(SETTINGS), lambda: io.BytesIO(SETTINGS)) is True


def test_one_connection_is_kept(servers: Servers, connect: Connect) -> None:
    server = servers()
    accepted = []
    server._server.process_request = lambda *both, real=server._server.process_request: accepted.append(1) or real(*both)  # type: ignore[method-assign]
    push(connect(server), mount_from="")
    assert len(accepted) == 1


def test_the_name_in_references_may_differ(servers: Servers, connect: Connect) -> None:
    server = servers()
    assert connect(server).name == f"{server.host}/team/app"
    assert connect(server, pull_name="registry.cluster.local/team/app").name == "registry.cluster.local/team/app"


# --- mounts and uploads ---------------------------------------------------------------------------------------------------------------


def test_a_refused_mount_goes_on_in_the_session_it_got(servers: Servers, connect: Connect) -> None:
    server = servers(options=Options(refuse_mount=True))
    server.add_blob("team/base", BASE)
    assert push(connect(server)) == DIGEST
    assert asked(server)[:2] == ["POST blobs/uploads", "PUT blobs/uploads/" + server.requests[1].path.rpartition("/")[2]]


def test_a_large_blob_whose_mount_was_refused_is_looked_for_first(servers: Servers, connect: Connect) -> None:
    server = servers(options=Options(refuse_mount=True))
    server.add_blob("team/app", LAYER)
    assert connect(server).put_blob(blob(LAYER), lambda: pytest.fail("read"), "team/base") is False
    assert [request.method for request in server.requests] == ["POST", "HEAD", "DELETE"]
    assert not server.state.uploads


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_mount_that_is_an_error_is_left_out_and_not_tried_again(servers: Servers, connect: Connect, status: int) -> None:
    server = servers(options=Options(mount_missing_source=status))
    store = connect(server)
    assert push(store, mount_from="no/such") == DIGEST
    assert store.put_blob(blob(b"more"), lambda: io.BytesIO(b"more"), "no/such") is True
    assert len(server.seen("POST", "mount=")) == 1


def test_a_mount_from_itself_is_no_mount(servers: Servers, connect: Connect) -> None:
    server = servers()
    connect(server).put_blob(blob(BASE), lambda: io.BytesIO(BASE), "team/app")
    assert not server.seen("POST", "mount=")


@pytest.mark.parametrize("options", [Options(relative_location=True), Options(digest_header=False), Options(refuse_patch=True)])
def test_registries_that_are_terse(servers: Servers, connect: Connect, options: Options) -> None:
    server = servers(options=options)
    store = connect(server)
    assert push(store) == DIGEST
    assert push(store) == DIGEST
    assert store.get_manifest(TAG) is not None
    with pytest.raises(TagConflictError):
        push(store, b"other")


@pytest.mark.parametrize("status", [404, 416])
def test_a_session_that_is_gone_is_begun_again(servers: Servers, connect: Connect, status: int) -> None:
    server = servers()
    server.fault(lambda request: request.method == "PUT", Status(status, body=b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}'))
    assert push(connect(server)) == DIGEST
    assert len({request.path for request in server.seen("PUT", "/uploads/")}) == 4  # three blobs, and one session more


def test_sessions_that_are_always_lost_are_not_begun_for_ever(servers: Servers, connect: Connect) -> None:
    server = servers()
    server.fault(lambda request: request.method == "PUT", Status(416), times=10)
    with pytest.raises(StoreError, match="416") as caught:
        connect(server).put_blob(blob(BASE), lambda: io.BytesIO(BASE))
    assert "forgets its uploads" in caught.value.hint
    assert len(server.seen("PUT", "/uploads/")) == 2


def test_bytes_that_change_while_they_are_sent(servers: Servers, connect: Connect) -> None:
    server = servers()
    store = connect(server)
    for wrong in (LAYER[:-1] + b"x", LAYER[:-1], LAYER + b"x"):
        with pytest.raises(IntegrityError) as caught:
            store.put_blob(blob(LAYER), lambda wrong=wrong: io.BytesIO(wrong))  # type: ignore[misc]
        assert caught.value.hint
    assert not store.has_blob(sha256(LAYER))
    assert push(store) == DIGEST


def test_a_source_that_cannot_be_read_is_no_network_trouble(servers: Servers, connect: Connect) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    server = servers()
    with pytest.raises(StoreError, match="Input/output error"):
        connect(server).put_blob(blob(b"x"), Broken)
    assert len(server.seen("POST")) == 1


# --- another host ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", [Auth("basic", users={"me": "secret"}), Auth("bearer", users={"me": "secret"})])
def test_credentials_never_leave_their_host(servers: Servers, connect: Connect, auth: Auth) -> None:
    server = servers(auth=auth)
    other = servers(state=server.state)
    server.options.upload_to = server.options.blobs_from = other.url
    store = connect(server, ME)
    assert push(store, mount_from="") == DIGEST
    assert b"".join(store.open_blob(sha256(LAYER))) == LAYER
    assert len(other.seen("PUT")) == 3
    assert other.seen("GET")
    assert not [request for request in other.requests if "authorization" in request.headers]
    assert server.seen("PUT")[-1].headers["authorization"]


def test_another_host_that_asks_for_credentials_gets_none(servers: Servers, connect: Connect) -> None:
    server = servers(auth=Auth("basic", users={"me": "secret"}))
    other = servers(state=server.state, auth=Auth("basic", users={"me": "secret"}))
    server.options.upload_to = other.url
    with pytest.raises(AuthError):
        push(connect(server, ME), mount_from="")
    assert not [request for request in other.requests if "authorization" in request.headers]


# --- tokens ---------------------------------------------------------------------------------------------------------------------------


def test_a_push_needs_one_token_for_itself_and_one_for_a_mount(servers: Servers, connect: Connect) -> None:
    server = servers(auth=Auth("bearer", users={"me": "secret"}, expires_in=False))
    server.add_blob("team/base", BASE)
    assert push(connect(server, ME)) == DIGEST
    tokens = server.seen("GET", "^/token")
    assert [request.query["scope"] for request in tokens] == [["repository:team/app:pull,push", "repository:team/base:pull"]]


def test_an_identity_token_is_traded_for_tokens(servers: Servers, connect: Connect) -> None:
    server = servers(auth=Auth("bearer", identity_tokens={"idt"}, rotate_field="access_token"))
    assert push(connect(server, Credential(identity_token="idt"))) == DIGEST
    assert len(server.seen("POST", "^/token")) == 1


def test_a_scope_that_is_dropped_silently_costs_the_mount_only(servers: Servers, connect: Connect) -> None:
    auth = Auth("bearer", users={"me": "secret"}, denied={("team/base", "pull")})
    server = servers(auth=auth)
    server.add_blob("team/base", BASE)
    assert push(connect(server, ME)) == DIGEST
    assert server.state.repo("team/app").tags == {TAG: DIGEST}


def test_a_right_that_is_missing_is_an_authentication_error(servers: Servers, connect: Connect) -> None:
    server = servers(auth=Auth("bearer", users={"me": "secret"}, denied={("team/app", "push")}))
    with pytest.raises(AuthError, match="cannot begin the upload") as caught:
        push(connect(server, ME))
    assert caught.value.hint == f"docker login {server.host}"
    assert connect(server, ME).get_manifest(TAG) is None


@pytest.mark.parametrize("kind", ["basic", "bearer"])
@pytest.mark.parametrize("credential", [None, Credential("me", "wrong-word"), Credential(identity_token="wrong-word")])
def test_wrong_credentials_are_an_authentication_error(
    servers: Servers, connect: Connect, kind: str, credential: Credential | None
) -> None:
    server = servers(auth=Auth(kind, users={"me": "secret"}))
    with pytest.raises(AuthError) as caught:
        connect(server, credential).get_manifest(TAG)
    assert caught.value.hint == f"docker login {server.host}"
    assert "wrong-word" not in str(caught.value)
    assert caught.value.message.endswith("no credentials are known for it") == (credential is None)
    assert ("does not accept the credentials it got" in caught.value.message) == (credential is not None)
    assert len(server.requests) <= 5


def test_anyone_may_pull_what_is_public(servers: Servers, connect: Connect) -> None:
    server = servers(auth=Auth("bearer", users={"me": "secret"}, anonymous_pull=True))
    push(connect(server, ME))
    store = connect(server)
    found = store.get_manifest(TAG)
    assert found is not None
    assert found.data == image()
    with pytest.raises(AuthError):
        push(store, b"other")


def test_a_short_token_is_renewed_while_pushing(servers: Servers, connect: Connect) -> None:
    now = [0.0]
    server = servers(auth=Auth("bearer", users={"me": "secret"}, expires_in=False))
    server.add_blob("team/base", BASE)
    server.fault(lambda request: request.method == "PUT", Run(lambda request: now.__setitem__(0, now[0] + 61)), times=2)
    assert push(connect(server, ME, retry=Retry(clock=lambda: now[0], sleep=lambda seconds: None))) == DIGEST
    assert len(server.seen("GET", "^/token")) == 3
    assert len(server.requests) == 8 + 1 + 3  # one challenge, and then never a 401


def test_a_token_server_on_another_host_must_be_encrypted(servers: Servers, connect: Connect) -> None:
    server = servers(auth=Auth("bearer", users={"me": "secret"}, realm="http://auth.example/token"))
    with pytest.raises(StoreError, match="without encryption"):
        connect(server, ME).get_manifest(TAG)


# --- manifests and tags ---------------------------------------------------------------------------------------------------------------


def test_a_tag_that_names_something_else_is_left_alone(servers: Servers, connect: Connect) -> None:
    server = servers()
    store = connect(server)
    push(store)
    with pytest.raises(TagConflictError, match=DIGEST):
        push(store, b"other", tags=(TAG, "free"))
    other = sha256(image(b"other"))
    assert server.state.repo("team/app").tags == {TAG: DIGEST, "free": other}
    assert other in server.state.repo("team/app").manifests


def test_an_immutable_tag_with_the_same_digest_is_success(servers: Servers, connect: Connect) -> None:
    server = servers(options=Options(immutable_tags=True))
    server.fault(lambda request: request.method == "PUT" and request.path.endswith(TAG), Reset("after"))
    assert push(connect(server)) == DIGEST  # the answer was lost, and the second PUT was refused
    assert len(server.seen("PUT", TAG)) == 2


def test_an_immutable_tag_that_someone_else_took_is_a_conflict(servers: Servers, connect: Connect) -> None:
    server = servers(options=Options(immutable_tags=True))
    push(connect(server), b"other", tags=("theirs",))
    theirs = sha256(image(b"other"))
    steal = Run(lambda request: server.state.repo("team/app").tags.update({TAG: theirs}))
    server.fault(lambda request: request.method == "PUT" and request.path.endswith(TAG), steal)
    with pytest.raises(TagConflictError, match=theirs):
        push(connect(server))
    assert server.state.repo("team/app").tags[TAG] == theirs


def test_a_blob_that_went_away_is_sent_again_after_the_error(servers: Servers, connect: Connect) -> None:
    server = servers()
    store = connect(server)
    push(store)
    server.state.repo("team/app").blobs.discard(sha256(SETTINGS))
    with pytest.raises(BlobUnknownError, match="MANIFEST_BLOB_UNKNOWN"):
        push(store, tags=("again",))
    assert push(store, tags=("again",)) == DIGEST


def test_a_blob_that_the_registry_does_not_see_for_a_moment(servers: Servers, connect: Connect) -> None:
    server = servers()
    unknown = Status(400, {"Content-Type": "application/json"}, json.dumps({"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}).encode())
    server.fault(lambda request: request.method == "PUT" and "/manifests/" in request.path, unknown)
    assert push(connect(server)) == DIGEST


def test_a_repository_is_made_when_the_registry_wants_that(servers: Servers, connect: Connect) -> None:
    server = servers(options=Options(create_on_push=False))
    server.create("team/base")
    server.add_blob("team/base", BASE)
    assert connect(server).get_manifest(TAG) is None
    assert connect(server).list_tags() == ()
    with pytest.raises(StoreError, match="NAME_UNKNOWN") as caught:
        push(connect(server))
    assert "create it" in caught.value.hint
    store = connect(server, create=lambda: server.create("team/app"))
    assert store.put_blob(blob(BASE), lambda: pytest.fail("read"), "team/base") is False  # still mounted
    assert push(store) == DIGEST


def test_tags_come_in_pages(servers: Servers, connect: Connect) -> None:
    server = servers(options=Options(page=3))
    server.add_manifest("team/app", b"{}", MANIFEST, *(f"t{number:02}" for number in range(10)))
    assert connect(server).list_tags() == tuple(f"t{number:02}" for number in range(10))
    assert len(server.requests) == 4


def test_a_manifest_that_is_not_what_it_says_is_refused(servers: Servers, connect: Connect) -> None:
    server = servers()
    store = connect(server)
    push(store)
    server.state.repo("team/app").manifests[DIGEST] = (MANIFEST, image(b"other"))
    for ref in (TAG, DIGEST):
        with pytest.raises(IntegrityError, match="should be"):
            store.get_manifest(ref)


def test_a_name_that_is_no_reference_is_never_sent(servers: Servers, connect: Connect) -> None:
    server = servers()
    for ref in ("", "a/../b", "a b", "a?x", "sha256:12", "-x"):
        with pytest.raises(UsageError):
            connect(server).get_manifest(ref)
    assert server.requests == []


def signature(subject: str = DIGEST, text: str = "sig") -> bytes:
    config = blob(SETTINGS, CONFIG).to_json()
    about = {"mediaType": MANIFEST, "digest": subject, "size": len(image())}
    return canonical_json(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [], "subject": about, "annotations": {"text": text}}
    )


def test_a_subject_is_listed_under_a_tag_where_the_registry_does_not_know_it(servers: Servers, connect: Connect) -> None:
    server = servers()
    store = connect(server)
    push(store)
    first, second = signature(text="a"), signature(text="b")
    for data in (first, second, first):
        store.put_manifest(data, MANIFEST)
    found = store.get_manifest(DIGEST.replace(":", "-"))
    assert found is not None
    assert found.media_type == INDEX
    listed = json.loads(found.data)["manifests"]
    assert [item["digest"] for item in listed] == [sha256(first), sha256(second)]
    assert listed[0] == {
        "mediaType": MANIFEST,
        "digest": sha256(first),
        "size": len(first),
        "artifactType": CONFIG,
        "annotations": {"text": "a"},
    }


def test_a_subject_that_the_registry_knows_needs_no_tag(servers: Servers, connect: Connect) -> None:
    server = servers(options=Options(knows_subject=True))
    store = connect(server)
    push(store)
    store.put_manifest(signature(), MANIFEST)
    assert store.list_tags() == (TAG,)


def test_a_manifest_can_be_deleted(servers: Servers, connect: Connect) -> None:
    server = servers()
    store = connect(server)
    push(store)
    assert list(store.remove([DIGEST])) == [(DIGEST, REMOVED)]
    assert list(store.remove([DIGEST])) == [(DIGEST, GONE)]
    assert store.get_manifest(TAG) is None
    server.options.deletes = False
    push(store)
    with pytest.raises(CannotDeleteError, match="405") as caught:
        list(store.remove([DIGEST]))
    assert "REGISTRY_STORAGE_DELETE_ENABLED" in caught.value.hint


# --- downloads ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_was_cut(servers: Servers, connect: Connect, ranges: bool) -> None:
    server = servers(options=Options(ranges=ranges))
    digest = server.add_blob("team/app", LAYER)
    server.fault(0, Truncate(400_000))
    server.fault(1, Truncate(300_000) if ranges else Truncate(900_000))
    server.fault(2, Status(503))
    assert b"".join(connect(server).open_blob(digest)) == LAYER
    starts = [request.headers.get("range", "") for request in server.requests]
    assert len(starts) == 4
    assert starts[0] == ""
    assert starts[1].startswith("bytes=")


def test_a_download_that_gets_on_may_be_cut_often(servers: Servers, connect: Connect) -> None:
    server = servers()
    digest = server.add_blob("team/app", LAYER)
    server.fault(lambda request: True, Truncate(270_000), times=4)  # each time one chunk further
    assert b"".join(connect(server, retry=Retry(tries=2, sleep=lambda seconds: None)).open_blob(digest)) == LAYER
    assert len(server.requests) == 5


def test_a_download_is_checked(servers: Servers, connect: Connect) -> None:
    server = servers()
    digest = server.add_blob("team/app", LAYER)
    server.state.blobs[digest] = LAYER[:-1] + b"x"
    with pytest.raises(IntegrityError, match=digest):
        list(connect(server).open_blob(digest))


def test_a_download_that_is_left_early_closes_its_connection(servers: Servers, connect: Connect) -> None:
    server = servers()
    chunks = connect(server).open_blob(server.add_blob("team/app", LAYER))
    assert next(chunks)  # type: ignore[call-overload]
    chunks.close()  # type: ignore[attr-defined]


# --- the real one ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.registry
def test_docker_registry_takes_the_same_push(docker_registry: str) -> None:
    name = f"protocol/{uuid.uuid4().hex}"
    base, app = Repository(docker_registry, f"{name}/base"), Repository(docker_registry, f"{name}/app")
    with closing(RegistryStore(base)) as source, closing(RegistryStore(app)) as store:
        source.put_blob(blob(BASE), lambda: io.BytesIO(BASE))
        assert store.put_blob(blob(BASE), lambda: pytest.fail("read"), base.name) is False
        assert push(store, mount_from=base.name) == DIGEST
        assert store.requests == 1 + 7
        store.put_manifest(signature(), MANIFEST)
        assert store.list_tags() == (TAG, DIGEST.replace(":", "-"))
        with pytest.raises(TagConflictError):
            push(store, b"other")
        assert list(store.remove([DIGEST])) == [(DIGEST, REMOVED)]
        assert store.get_manifest(TAG) is None
