"""Removing images from registries that refuse, tell more, or lie; and what docker-registry's own collector does after it."""

from __future__ import annotations

import hashlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from builder.errors import AuthError, CannotDeleteError, StoreError
from builder.model.oci import CONFIG, INDEX, LAYER_GZIP, MANIFEST, Descriptor, Manifest, canonical_json, sha256
from builder.model.reference import Repository
from builder.stores.interface import GONE, REMOVED
from builder.stores.registry import Credential, RegistryStore, Retry, ecr_images, harbor
from tests.fixtures.own_registry import OwnRegistry, own_registry
from tests.fixtures.registry_kinds import ECR, EcrServer, HarborServer, ecr_server
from tests.fixtures.registry_rules import Request
from tests.fixtures.registry_server import RegistryServer, Reset, Status
from tests.fixtures.waiting import until

ROBOT = Credential("robot$ci", "secret")
Connect = Callable[..., RegistryStore]


@pytest.fixture
def connect() -> Iterator[Connect]:
    def make(host: str, name: str = "team/app", **kinds: Any) -> RegistryStore:
        options = {"retry": Retry(sleep=lambda seconds: None), "timeout": 60.0, **kinds}
        return stack.enter_context(closing(RegistryStore(Repository(host, name), **options)))

    with ExitStack() as stack:
        yield make


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as made:
        yield made


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[EcrServer]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with ecr_server() as made:
        yield made


def image(store: RegistryStore, text: str, *tags: str) -> str:
    blobs = [Descriptor(kind, sha256(data), len(data)) for kind, data in ((CONFIG, b"{}"), (LAYER_GZIP, text.encode()))]
    for blob, data in zip(blobs, (b"{}", text.encode()), strict=True):
        store.put_blob(blob, lambda data=data: io.BytesIO(data))  # type: ignore[misc]
    return store.put_manifest(Manifest(blobs[0], (blobs[1],)).to_bytes(), MANIFEST, tags)


def deletes(request: Request) -> bool:
    return request.method == "DELETE"


# --- what registries answer -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"), [(405, "UNSUPPORTED"), (405, "DENIED"), (400, "UNSUPPORTED"), (403, "DENIED"), (401, "DENIED")]
)
def test_a_registry_that_deletes_nothing(server: RegistryServer, connect: Connect, status: int, code: str) -> None:
    store = connect(server.host)
    digests = [image(store, str(number), f"t{number}") for number in range(130)]
    body = json.dumps({"errors": [{"code": code, "message": "no"}]}).encode()
    server.fault(deletes, Status(status, {}, body), times=1000)
    kind = AuthError if status in (401, 403) else CannotDeleteError
    with pytest.raises(kind, match=str(status)) as caught:
        list(store.remove(digests))
    assert ("REGISTRY_STORAGE_DELETE_ENABLED" in caught.value.hint) == (kind is CannotDeleteError)
    assert len(server.seen("DELETE")) <= 64, "it does not ask ten thousand times"
    assert len(store.list_tags()) == 130


@pytest.mark.parametrize("status", [403, 409, 412])
def test_a_refusal_of_one_image_stops_no_other(server: RegistryServer, connect: Connect, status: int) -> None:
    store = connect(server.host)
    one, held, other = (image(store, text, text) for text in ("one", "held", "other"))
    body = b'{"errors":[{"code":"DENIED","message":"a policy holds it"}]}'
    server.fault(lambda request: deletes(request) and held in request.target, Status(status, {}, body), times=10)
    became = dict(store.remove([held, one, other]))
    assert became.pop(held).startswith("refused: ")
    assert became == {one: REMOVED, other: REMOVED}
    assert store.list_tags() == ("held",)


def test_a_lost_answer_is_not_taken_for_somebody_elses_removal(server: RegistryServer, connect: Connect) -> None:
    store = connect(server.host)
    one, two = image(store, "one", "a"), image(store, "two", "b")
    server.fault(lambda request: deletes(request) and one in request.target, Reset("after"))
    server.fault(lambda request: deletes(request) and two in request.target, Status(503, {"Retry-After": "1"}), times=2)
    assert dict(store.remove([one, two])) == {one: REMOVED, two: REMOVED}


def test_a_registry_that_stays_in_trouble(server: RegistryServer, connect: Connect) -> None:
    store = connect(server.host)
    digests = [image(store, str(number), f"t{number}") for number in range(100)]
    server.fault(lambda request: deletes(request) and digests[70] in request.target, Status(429), times=1000)
    told: dict[str, str] = {}
    with pytest.raises(StoreError, match="429"):
        told.update(store.remove(digests))
    assert dict(store.remove(digests[:70])) == dict.fromkeys(digests[:64], GONE) | dict.fromkeys(digests[64:70], GONE), (
        "what went before is gone, and running it again goes on"
    )


def test_what_is_no_digest_is_not_sent(server: RegistryServer, connect: Connect) -> None:
    """Some registries take a tag, and delete what it names."""
    store = connect(server.host)
    image(store, "one", "latest")
    with pytest.raises(StoreError, match="latest"):
        list(store.remove(["latest"]))
    assert not server.seen("DELETE")


# --- what registries tell -------------------------------------------------------------------------------------------------------------


def test_what_goes_while_it_is_listed_is_left_out(server: RegistryServer, connect: Connect) -> None:
    store = connect(server.host)
    one = image(store, "one", "a")
    image(store, "two", "b")
    server.fault(lambda request: request.method == "HEAD" and request.target.endswith("/b"), Status(404))
    assert [held.digest for held in store.held()] == [one]


def test_a_list_that_never_ends(server: RegistryServer, connect: Connect) -> None:
    store = connect(server.host)
    image(store, "one", "a")
    pages = iter(range(10**9))

    def answer(request: Request) -> bool:
        if "/tags/list" in request.target:
            link = {"Link": f'</v2/team/app/tags/list?n=1000&last={next(pages)}>; rel="next"'}
            server.fault(len(server.requests) - 1, Status(200, link, b'{"tags":["a"]}'))
        return False

    server.fault(answer, Status(500), times=10**9)
    with pytest.raises(StoreError, match="does not end"):
        list(store.held())
    assert len(server.requests) < 100


@pytest.mark.parametrize("told", ["sha256:" + "0" * 64, "sha256:short", "sha512:" + "0" * 128, "latest", "../../other/manifests/x"])
def test_a_digest_that_is_not_the_tags_is_not_believed(server: RegistryServer, connect: Connect, told: str) -> None:
    """Whoever reads it finds nothing under a digest of another repository; and what is no digest is not used as one."""
    store = connect(server.host)
    digest = image(store, "one", "a")
    headers = {"Docker-Content-Digest": told, "Content-Type": MANIFEST}
    server.fault(lambda request: request.method == "HEAD" and request.target.endswith("/a"), Status(200, headers, b""))
    (found,) = store.held()
    assert found.digest in (digest, "sha256:" + "0" * 64)
    if found.digest != digest:
        assert store.get_manifest(found.digest) is None
        assert list(store.remove([found.digest])) == [(found.digest, GONE)]


def test_a_list_of_referrers_that_names_others_is_not_believed(server: RegistryServer, connect: Connect) -> None:
    store = connect(server.host)
    one, other = image(store, "one", "a"), image(store, "other", "b")
    entries = [{"mediaType": MANIFEST, "digest": digest, "size": 1} for digest in (other, sha256(b"none"), one)]
    listed = canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*entries, {"digest": 7}, "x"]})
    index = server.add_manifest("team/app", listed, INDEX, one.replace(":", "-"))
    assert store.referrers(one) == (index,)


def test_what_cosign_attached_is_found_by_its_tag(server: RegistryServer, connect: Connect) -> None:
    store = connect(server.host)
    one = image(store, "one", "a")
    attached = [image(store, kind, f"sha256-{one[7:]}.{kind}") for kind in ("sig", "att", "sbom")]
    image(store, "other", f"sha256-{'0' * 64}.sig")
    assert store.referrers(one) == tuple(sorted(attached))


def test_asking_for_referrers_costs_a_plain_registry_nothing(server: RegistryServer, connect: Connect) -> None:
    store = connect(server.host)
    digests = [image(store, str(number), f"t{number}") for number in range(50)]
    list(store.held())
    before = len(server.requests)
    for digest in digests:
        assert store.referrers(digest) == ()
    assert len(server.requests) - before == 1


# --- Harbor ---------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def harbor_server() -> Iterator[HarborServer]:
    with HarborServer() as made:
        yield made


def test_harbor_names_with_slashes(harbor_server: HarborServer, connect: Connect) -> None:
    store = connect(harbor_server.host, "team/deep/app", credentials=lambda _: ROBOT)
    digest = image(store, "one", "a")
    assert [held.digest for held in store.held()] == [digest]
    assert harbor_server.seen("GET", r"/projects/team/repositories/deep%252Fapp/artifacts")


def test_harbor_lists_page_by_page(harbor_server: HarborServer, connect: Connect) -> None:
    store = connect(harbor_server.host, credentials=lambda _: ROBOT)
    digests = {image(store, str(number)) for number in range(230)}
    assert {held.digest for held in store.held()} == digests
    assert len(harbor_server.seen("GET", "page_size=100")) == 3


def test_harbor_keeps_immutable_tags(harbor_server: HarborServer, connect: Connect) -> None:
    store = connect(harbor_server.host, credentials=lambda _: ROBOT)
    one, held = image(store, "one", "a"), image(store, "held", "release")
    harbor_server.immutable = {"release"}
    became = dict(store.remove([held, one]))
    assert "immutable" in became.pop(held)
    assert became == {one: REMOVED}


def test_harbor_that_shows_no_artifacts_is_a_plain_registry(harbor_server: HarborServer, connect: Connect) -> None:
    said: list[str] = []
    store = connect(harbor_server.host, credentials=lambda _: ROBOT, notice=said.append)
    image(store, "untagged")
    digest = image(store, "one", "a")
    harbor_server.fault(lambda request: "/api/" in request.target, Status(403), times=10)
    assert [(held.digest, held.pushed) for held in store.held()] == [(digest, None)]
    assert any("ages are unknown" in line for line in said)


@pytest.mark.parametrize("body", [b"{}", b"<html>", b"[1]", b"[" * 100_000])
def test_harbor_that_answers_nonsense(harbor_server: HarborServer, connect: Connect, body: bytes) -> None:
    store = connect(harbor_server.host, credentials=lambda _: ROBOT)
    image(store, "one", "a")
    harbor_server.fault(lambda request: "page_size=100" in request.target, Status(200, {}, body))
    with pytest.raises(StoreError, match="artifacts"):
        list(store.held())


def test_harbor_that_never_ends(harbor_server: HarborServer, connect: Connect) -> None:
    store = connect(harbor_server.host, credentials=lambda _: ROBOT)
    page = json.dumps([{"digest": f"sha256:{number:064x}"} for number in range(100)]).encode()
    harbor_server.fault(lambda request: "/artifacts" in request.target, Status(200, {}, page), times=10**9)
    with pytest.raises(StoreError, match="does not end"):
        list(store.held())


def test_harbor_entries_that_are_odd(harbor_server: HarborServer, connect: Connect) -> None:
    store = connect(harbor_server.host, credentials=lambda _: ROBOT)
    digest = sha256(b"x")
    odd = [
        {"digest": 5},
        {"digest": "sha256:short", "tags": None},
        {"digest": digest, "push_time": "never", "tags": [{"name": "a", "push_time": "2026-01-02T03:04:05.678Z"}, {"name": 7}, "b", None]},
        {"digest": digest, "tags": []},
    ]
    harbor_server.fault(lambda request: "page_size=100" in request.target, Status(200, {}, json.dumps(odd).encode()))
    assert [(held.digest, held.tags, held.pushed) for held in store.held()] == [(digest, ("a",), 1767323045.0)]


def test_a_password_goes_to_harbor_alone(harbor_server: HarborServer, server: RegistryServer, connect: Connect) -> None:
    """Who sends its API elsewhere gets no password, and does not count as Harbor."""
    store = connect(harbor_server.host, credentials=lambda _: ROBOT)
    harbor_server.fault(lambda request: "/api/" in request.target, Status(307, {"Location": f"{server.url}/api/"}), times=10)
    with pytest.raises(StoreError):
        assert not harbor.may_list(store._client)
        list(store.held())
        raise StoreError("it fell back to tags")
    assert all("authorization" not in request.headers for request in server.requests)


# --- ECR ------------------------------------------------------------------------------------------------------------------------------


class Calls:
    """Wraps a client of AWS: counts its calls, and answers for it."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.sizes: list[int] = []
        self.failures: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def batch_delete_image(self, **asked: Any) -> Any:
        self.sizes.append(len(asked["imageIds"]))
        held = [image["imageDigest"] for image in asked["imageIds"] if image["imageDigest"] in self.failures]
        failures = [{"imageId": {"imageDigest": digest}, "failureCode": self.failures[digest], "failureReason": "so"} for digest in held]
        rest = [image for image in asked["imageIds"] if image["imageDigest"] not in held]
        answer = self._real.batch_delete_image(**{**asked, "imageIds": rest}) if rest else {"failures": []}
        return {**answer, "failures": [*answer["failures"], *failures]}


@pytest.fixture
def calls(aws: EcrServer, monkeypatch: pytest.MonkeyPatch) -> Calls:
    made = Calls(aws.aws)
    monkeypatch.setattr("builder.stores.registry.ecr.client", lambda host: made)
    return made


@pytest.mark.minutes
def test_ecr_removes_a_hundred_at_a_time(aws: EcrServer, calls: Calls, connect: Connect) -> None:
    store = connect(aws.host, aws=ECR)
    digests = [image(store, str(number), f"t{number}") for number in range(230)]
    assert dict(store.remove(digests)) == dict.fromkeys(digests, REMOVED)
    assert calls.sizes == [100, 100, 30]
    assert not aws.seen("DELETE")


def test_ecr_refuses_what_an_index_names_until_that_is_gone(aws: EcrServer, calls: Calls, connect: Connect) -> None:
    store = connect(aws.host, aws=ECR)
    child, other, never = (image(store, text, text) for text in ("child", "other", "never"))
    calls.failures = {child: "ImageReferencedByManifestList", never: "ImageReferencedByManifestList"}
    removing = store.remove([child, never, other])
    assert next(removing) == (other, REMOVED)
    del calls.failures[child]
    assert dict(removing) == {child: REMOVED, never: "refused: ImageReferencedByManifestList: so"}


def test_ecr_lists_every_page(aws: EcrServer, calls: Calls, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """moto gives all at once; AWS gives at most a thousand."""
    from datetime import datetime, timezone

    when = datetime(2026, 1, 2, tzinfo=timezone.utc)
    details = [{"imageDigest": f"sha256:{number:064x}", "imageTags": [f"t{number}"], "imagePushedAt": when} for number in range(2500)]
    details[7] = {"imageDigest": f"sha256:{7:064x}"}

    class Pages:
        def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
            assert asked["PaginationConfig"]["PageSize"] == 1000
            assert asked["registryId"] == "123456789012"
            yield from ({"imageDetails": details[start : start + 1000]} for start in range(0, 2500, 1000))
            yield {"imageDetails": [*details[:5], {"imageDigest": "nonsense"}]}

    monkeypatch.setattr(calls, "get_paginator", lambda name: Pages(), raising=False)
    found = list(connect(aws.host, aws=ECR).held())
    assert len(found) == 2500
    assert (found[7].tags, found[7].pushed) == ((), None)
    assert (found[8].tags, found[8].pushed) == (("t8",), when.timestamp())


@pytest.mark.parametrize(
    ("code", "kind"), [("AccessDeniedException", AuthError), ("ExpiredTokenException", AuthError), ("ServerException", StoreError)]
)
def test_ecr_that_refuses(aws: EcrServer, connect: Connect, monkeypatch: pytest.MonkeyPatch, code: str, kind: type[Exception]) -> None:
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

    def refuse(self: BaseClient, operation: str, asked: object) -> object:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    store = connect(aws.host, aws=ECR)
    for work in (lambda: list(store.held()), lambda: list(store.remove([sha256(b"x")]))):
        with pytest.raises(kind, match=f"team/app.*{code}"):
            work()


def test_ecr_without_the_repository_holds_nothing(aws: EcrServer, connect: Connect) -> None:
    none = Repository(ECR.host, "team/none")
    assert list(ecr_images.held(none)) == []
    assert list(ecr_images.remove(none, [sha256(b"x")])) == [(sha256(b"x"), GONE)]


# --- docker-registry ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnRegistry]:
    with own_registry(tmp_path / "registry") as made:
        yield made


@pytest.mark.registry
def test_docker_registry_without_deletion_names_the_setting(tmp_path: Path, connect: Connect) -> None:
    with own_registry(tmp_path / "registry", deletes=False) as own:
        store = connect(own.host)
        digest = image(store, "one", "a")
        with pytest.raises(CannotDeleteError, match="405") as caught:
            list(store.remove([digest]))
        assert "REGISTRY_STORAGE_DELETE_ENABLED=true" in caught.value.hint
        assert store.list_tags() == ("a",)


@pytest.mark.registry
def test_docker_registrys_collector_frees_what_went_and_nothing_else(own: OwnRegistry, connect: Connect) -> None:
    store = connect(own.host)
    shared, kept_text = "shared" * 1000, "kept" * 1000
    config = Descriptor(CONFIG, sha256(b"{}"), 2)
    texts = {"gone": ["own" * 5000, shared], "kept": [kept_text, shared]}
    digests = {}
    for name, layers in texts.items():
        blobs = tuple(Descriptor(LAYER_GZIP, sha256(text.encode()), len(text)) for text in layers)
        for blob, data in zip((config, *blobs), (b"{}", *(text.encode() for text in layers)), strict=True):
            store.put_blob(blob, lambda data=data: io.BytesIO(data))  # type: ignore[misc]
        digests[name] = store.put_manifest(Manifest(config, blobs).to_bytes(), MANIFEST, (name, f"{name}-too"))
    went = store.get_manifest(digests["gone"])
    assert went is not None
    before = own.disk("team/app").size()
    assert dict(store.remove([digests["gone"]])) == {digests["gone"]: REMOVED}
    assert own.disk("team/app").size() == before, "removal itself frees nothing"
    own.stop()
    own.collect()
    own.start()
    assert before - own.disk("team/app").size() == 15_000 + len(went.data)
    again = connect(own.host)
    kept = again.get_manifest("kept-too")
    assert kept is not None
    for text in texts["kept"]:
        assert b"".join(again.open_blob(sha256(text.encode()))) == text.encode()
    assert image(again, "own" * 5000, "back"), "what was collected can be pushed again"
    assert b"".join(again.open_blob(sha256(b"own" * 5000))) == b"own" * 5000


REMOVE = """
import sys
from builder.model.reference import Repository
from builder.stores.registry import RegistryStore
store = RegistryStore(Repository(sys.argv[1], "team/app"))
for digest, became in store.remove([held.digest for held in store.held()]):
    print(became, digest, flush=True)
"""


@pytest.mark.registry
def test_killed_in_the_middle_and_run_again(own: OwnRegistry, connect: Connect) -> None:
    disk, images = own.disk("team/app"), 400
    config = disk.add_blob(b"{}")
    for number in range(images):
        layer = f"layer {number}".encode()
        blob = Descriptor(LAYER_GZIP, disk.add_blob(layer), len(layer))
        data = Manifest(Descriptor(CONFIG, config, 2), (blob,)).to_bytes()
        sha = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        disk.add_manifest(data, (sha, f"{sha}-0123456789abcdef"))
    argv = [sys.executable, "-c", REMOVE, own.host]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert [first.stdout.readline().split()[0] for _ in range(30)] == ["removed"] * 30
        first.send_signal(signal.SIGKILL)
    store = connect(own.host)
    left = until(lambda: list(store.held()))
    assert 0 < len(left) < images
    second = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split("\n")
    assert len([line for line in second if line.startswith(("removed", "gone"))]) >= len(left) - 64
    assert list(store.held()) == []
    assert store.list_tags() == ()
